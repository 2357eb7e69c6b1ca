import ExportCore
import Foundation
import Model
import Protocol
import Testing

@testable import Coordinator
@testable import KubernetesAPI

/// Results and their status over a real API server.
extension APIServerTests {
    private struct Told: Equatable {
        var status = ""
        var hasTime = false
        var marks: [String: String] = [:]
        var label: String?
    }

    /// What the results of a namespace say of their export.
    private func told(_ client: KubernetesClient, _ namespace: String) async throws -> [String: Told] {
        var quest = ListQuest(.probeResults, namespace: namespace)
        var all: [String: Told] = [:]
        repeat {
            let page = try await client.list(quest)
            for entry in page.batch.entries {
                let object = try JSONSerialization.jsonObject(with: Data(page.batch.json(entry))) as? [String: Any]
                let metadata = object?["metadata"] as? [String: Any]
                let audit = (object?["spec"] as? [String: Any])?["audit"] as? [String: Any]
                var told = Told()
                told.status = audit?["exportStatus"] as? String ?? ""
                told.hasTime = (audit?["exportedAt"] as? String)?.hasSuffix("Z") ?? false
                let text = (metadata?["annotations"] as? [String: String])?["export.sidereal.cloud/targets"] ?? "{}"
                told.marks = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String] ?? [:]
                told.label = (metadata?["labels"] as? [String: String])?["by"]
                all[page.batch.name(entry)] = told
            }
            quest.continueToken = page.continueToken
        } while quest.continueToken != nil
        return all
    }

    private func exported(_ targets: [String]) -> Told {
        Told(
            status: "Exported", hasTime: true,
            marks: Dictionary(uniqueKeysWithValues: targets.map { ($0, "delivered") }))
    }

    private func make(_ cluster: TestCluster, _ client: KubernetesClient, _ names: [String], _ namespace: String)
        async throws
    {
        for name in names { _ = try await cluster.makeResult(client, name, namespace) }
    }

    private func leader(
        _ client: KubernetesClient, _ namespace: String, _ targets: [String], term: UInt64 = 1,
        _ verdict: @escaping ResultLeader.Verdict
    ) async throws -> ResultLeader {
        try await ResultLeader(
            KubernetesCluster(client: client, namespace: namespace), namespace: namespace, targets: targets,
            term: term, verdict: verdict)
    }

    @Test func everyResultIsExportedOnceAndSaysSo() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, (0..<60).map { "r-\($0)" }, namespace)
            var leader = try await leader(client, namespace, ["a", "b"]) { _, _ in .delivered }
            let isFirst = try await leader.run {
                $0.passes[0] != nil && $0.passes[1] != nil && $0.dispatch.recordsInHand == 0
            }
            // They come in a watch now.
            try await make(cluster, client, (60..<80).map { "r-\($0)" }, namespace)
            let isDone = try await leader.run { leader in
                guard leader.records.count == 80 else { return false }
                return try await told(client, namespace).values.allSatisfy { $0.status == "Exported" }
            }
            #expect(isFirst && isDone, "\(leader.troubles) \(leader.refusedWrites)")
            let all = try await told(client, namespace)
            #expect(all.count == 80 && all.values.allSatisfy { $0 == exported(["a", "b"]) })
            #expect(leader.handed == [0: 80, 1: 80], "each once")
            #expect(leader.records.values.allSatisfy { $0.hasSuffix("\n") && !$0.contains("managedFields") })
            #expect(Set(leader.records.values.compactMap { $0.firstMatch(of: /"name":"(r-[0-9]+)"/)?.1 }).count == 80)
            await leader.source.close()

            var next = try await self.leader(client, namespace, ["a", "b"], term: 2) { _, _ in .delivered }
            #expect(try await next.run { ($0.passes[0] ?? 0) > 1 && ($0.passes[1] ?? 0) > 1 }, "passes are told again")
            #expect(next.handed.isEmpty && next.dispatch.recordsInHand == 0)
            await next.source.close()
        }
    }

    @Test func whatFailedIsSaidAndBecomesExported() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1", "r-2"], namespace)
            var leader = try await leader(client, namespace, ["a", "b"]) { _, target in
                target == 0 ? .delivered : .failed
            }
            let isFailed = try await leader.run { _ in
                try await told(client, namespace).values.allSatisfy { $0.marks == ["a": "delivered", "b": "failed"] }
            }
            let failed = try await told(client, namespace)
            #expect(isFailed && failed.values.allSatisfy { $0.status == "Failed" && !$0.hasTime })
            leader.deliver(1)
            #expect(
                try await leader.run { _ in
                    try await told(client, namespace).values.allSatisfy { $0 == exported(["a", "b"]) }
                })
            await leader.source.close()
        }
    }

    /// A result that is given up leaves the hand; when an operator has it tried again, what is said of it then is written.
    @Test func whatWasGivenUpAndIsDeliveredLaterBecomesExported() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1", "r-2"], namespace)
            var leader = try await leader(client, namespace, ["a", "b"]) { text, target in
                target == 1 && text.contains(#""name":"r-2""#) ? .dead : .delivered
            }
            let isSettled = try await leader.run { leader in
                guard leader.dispatch.recordsInHand == 0 else { return false }
                let all = try await told(client, namespace)
                return all["r-1"]?.status == "Exported" && all["r-2"]?.marks == ["a": "delivered", "b": "dead"]
            }
            let settled = try await told(client, namespace)
            #expect(isSettled && settled["r-2"]?.status == "Failed")
            guard let key = leader.records.first(where: { $0.value.contains(#""name":"r-2""#) })?.key else {
                Issue.record("r-2 was not handed over")
                return
            }
            leader.tell(key, 1, .delivered)
            #expect(try await leader.run { _ in try await told(client, namespace)["r-2"] == exported(["a", "b"]) })
            #expect(leader.handed == [0: 2, 1: 2])
            await leader.source.close()
        }
    }

    @Test func targetsComeAndGo() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1"], namespace)
            var first = try await leader(client, namespace, ["a", "old"]) { _, target in
                target == 0 ? .delivered : .dead
            }
            #expect(
                try await first.run { _ in
                    try await told(client, namespace)["r-1"]?.marks == ["a": "delivered", "old": "dead"]
                })
            await first.source.close()
            // A leader with one more ends before it has delivered anything there.
            var second = try await leader(client, namespace, ["new", "a"], term: 2) { _, _ in nil }
            #expect(try await second.run { $0.records.count == 1 })
            #expect(second.handed == [0: 1], "it is settled at the other one")
            await second.source.close()
            // With the one that is left everything is delivered; nobody has to say so.
            var third = try await leader(client, namespace, ["a"], term: 3) { _, _ in nil }
            #expect(try await third.run { _ in try await told(client, namespace)["r-1"]?.status == "Exported" })
            #expect(third.handed.isEmpty)
            let all = try await told(client, namespace)
            #expect(all["r-1"]?.marks == ["a": "delivered", "old": "dead"] && all["r-1"]?.hasTime == true)
            await third.source.close()
        }
    }

    /// Somebody changes a result, somebody removes one, somebody removes one and makes another of its name.
    @Test func whatOthersDoMeanwhileIsRespected() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1", "r-2", "r-3"], namespace)
            var leader = try await leader(client, namespace, ["a"]) { _, _ in nil }
            #expect(try await leader.run { $0.records.count == 3 })
            _ = try await client.patch(
                .probeResults, namespace: namespace, name: "r-1",
                patch: Array(#"{"metadata":{"labels":{"by":"x"}}}"#.utf8))
            for name in ["r-2", "r-3"] {
                _ = try await client.send(APICall(.delete, .probeResults, namespace: namespace, name: name))
            }
            leader.deliver(0)
            #expect(try await leader.run { $0.dispatch.recordsInHand == 0 })
            try await make(cluster, client, ["r-3"], namespace)
            leader.verdict = { _, _ in .delivered }
            let isDone = try await leader.run { _ in
                let all = try await told(client, namespace)
                return all.count == 2 && all.values.allSatisfy { $0.status == "Exported" }
            }
            #expect(isDone, "\(leader.refusedWrites)")
            #expect(try await told(client, namespace)["r-1"]?.label == "x" && leader.records.count == 4)
            await leader.source.close()
        }
    }

    @Test func aTargetWithoutRoomGetsAPassOfItsOwn() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1"], namespace)
            var leader = try await leader(client, namespace, ["a", "b"]) { _, _ in .delivered }
            #expect(try await leader.run { $0.passes[0] != nil && $0.passes[1] != nil })
            leader.full = [1]
            try await make(cluster, client, (2..<30).map { "r-\($0)" }, namespace)
            #expect(try await leader.run { $0.handed[0] == 29 })
            let backlog = await leader.source.backlog()
            #expect(leader.handed[1] == 1 && backlog[0].records == 0 && backlog[1].records == 28)
            leader.full = []
            #expect(
                try await leader.run { _ in
                    try await told(client, namespace).values.allSatisfy { $0 == exported(["a", "b"]) }
                })
            #expect(leader.handed == [0: 29, 1: 29])
            #expect(try await leader.run { ($0.passes[1] ?? 0) > 2 })
            await leader.source.close()
        }
    }

    @Test func aLeaderThatWasReplacedWritesNothing() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, ["r-1"], namespace)
            var first = try await leader(client, namespace, ["a"]) { _, _ in .delivered }
            first.writes = false
            #expect(try await first.run { $0.records.count == 1 })
            let second = try await leader(client, namespace, ["a"], term: 2) { _, _ in nil }
            first.writes = true
            #expect(try await first.run { !$0.refusedWrites.isEmpty })
            #expect(first.refusedWrites.first?.kind == .fenced)
            #expect(try await told(client, namespace)["r-1"]?.status == "Pending")
            await first.source.close()
            await second.source.close()
        }
    }

    @Test func anAPIServerThatEndsDelaysAndLosesNothing() async throws {
        try await withCluster { cluster, client, namespace in
            try await make(cluster, client, (0..<20).map { "r-\($0)" }, namespace)
            var leader = try await leader(client, namespace, ["a"]) { _, _ in nil }
            #expect(try await leader.run { $0.records.count == 20 })
            try await cluster.stopAPIServer()
            leader.deliver(0)
            #expect(try await leader.run { !$0.refusedWrites.isEmpty && !$0.troubles.isEmpty })
            let backlog = await leader.source.backlog()
            #expect(backlog[0].records >= 1, "nobody knows what came meanwhile")
            try cluster.startAPIServer()
            try await cluster.untilReady()
            try await make(cluster, client, ["r-20"], namespace)
            leader.verdict = { _, _ in .delivered }
            let isDone = try await leader.run { leader in
                guard leader.records.count == 21 else { return false }
                return try await told(client, namespace).values.allSatisfy { $0.status == "Exported" }
            }
            #expect(
                isDone, "\(leader.refusedWrites.last?.description ?? "") \(leader.troubles.last?.description ?? "")")
            await leader.source.close()
        }
    }
}
