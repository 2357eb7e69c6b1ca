import Foundation
import Model
import Testing

@testable import KubernetesAPI

extension APIServerTests {
    /// Reads a feed and keeps what it says, as a careful reader does.
    actor Follower {
        private let feed: ObjectFeed
        private(set) var known: [String: Int] = [:]
        private var gone: [String: Int] = [:]
        private var shown: Set<String> = []
        private(set) var restarts = 0
        private(set) var lists = 0
        private(set) var isListed = false
        private(set) var troubles: [APIFailure] = []
        private var task: Task<Void, Never>?

        init(_ feed: ObjectFeed) { self.feed = feed }

        func start() {
            task = Task { [feed] in
                while let output = await feed.next() { self.took(output) }
            }
        }

        func stop() async {
            await feed.close()
            await task?.value
        }

        private func took(_ output: ObjectFeed.Output) {
            switch output {
            case .restarted, .relisted:
                (shown, isListed) = ([], false)
                restarts += 1
            case .page(let page): for entry in page.batch.entries { saw(page.batch, entry) }
            case .changes(let piece): for entry in piece.batch.entries { saw(piece.batch, entry) }
            case .listed:
                known = known.filter { shown.contains($0.key) }
                (gone, isListed) = ([:], true)
                lists += 1
            case .selectorUnknown: break
            case .trouble(let failure): troubles.append(failure)
            }
        }

        private func saw(_ batch: ObjectBatch, _ entry: ObjectEntry) {
            let (name, version) = (batch.name(entry), Int(batch.resourceVersion(entry)) ?? 0)
            if known[name] != nil { shown.insert(name) }
            guard version > max(known[name] ?? 0, gone[name] ?? 0) else { return }
            if entry.change == .deleted {
                known[name] = nil
                gone[name] = version
            } else {
                known[name] = version
                shown.insert(name)
            }
        }
    }

    /// What there is, by an own list.
    private func truth(_ client: KubernetesClient, _ namespace: String) async throws -> [String: Int] {
        let batch = try await client.list(ListQuest(.probeResults, namespace: namespace)).batch
        return batch.entries.reduce(into: [:]) { $0[batch.name($1)] = Int(batch.resourceVersion($1)) }
    }

    func eventually(
        _ what: String, _ holds: () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        for _ in 0..<600 {
            if try await holds() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("within a minute not: \(what)", sourceLocation: sourceLocation)
    }

    private func patch(_ client: KubernetesClient, _ name: String, _ namespace: String, _ value: Int) async throws {
        _ = try await client.patch(
            .probeResults, namespace: namespace, name: name, patch: Array(#"{"spec":{"value":\#(value)}}"#.utf8))
    }

    @Test func pagesHoldEveryObjectOnce() async throws {
        try await withCluster { cluster, client, namespace in
            var expected: Set<String> = []
            for number in 0..<25 {
                _ = try await cluster.makeResult(client, "r-\(number)", namespace, extra: #","text":"é\n\"\\""#)
                expected.insert("r-\(number)")
            }
            var quest = ListQuest(.probeResults, namespace: namespace)
            quest.limit = 7
            var (names, sizes, versions): ([String], [Int], Set<String>) = ([], [], [])
            repeat {
                let page = try await client.list(quest)
                names += page.batch.entries.map { page.batch.name($0) }
                sizes.append(page.batch.entries.count)
                versions.insert(page.resourceVersion)
                quest.continueToken = page.continueToken
            } while quest.continueToken != nil
            #expect(sizes == [7, 7, 7, 4] && Set(names) == expected && names.count == 25 && versions.count == 1)
        }
    }

    @Test func expiredContinueTokenIsReplacedByTheServer() async throws {
        try await withCluster { cluster, client, namespace in
            for number in 0..<6 { _ = try await cluster.makeResult(client, "r-\(number)", namespace) }
            var quest = ListQuest(.probeResults, namespace: namespace)
            quest.limit = 2
            quest.continueToken = try await client.list(quest).continueToken
            _ = try await cluster.makeResult(client, "r-9", namespace)
            try await cluster.compact()
            let refused = await failure { _ = try await client.list(quest) }
            guard case .expired(let token?)? = refused?.kind else {
                Issue.record("\(String(describing: refused))")
                return
            }
            quest.continueToken = token
            quest.limit = 500
            #expect(try await client.list(quest).batch.entries.count == 5)
        }
    }

    @Test func watchTellsOfEveryChangeFromWhereItBegins() async throws {
        try await withCluster { cluster, client, namespace in
            let before = try await client.list(ListQuest(.probeResults, namespace: namespace)).resourceVersion
            let first = try await cluster.makeResult(client, "r-1", namespace)
            try await patch(client, "r-1", namespace, 1)
            _ = try await client.send(APICall(.delete, .probeResults, namespace: namespace, name: "r-1"))
            var quest = WatchQuest(.probeResults, namespace: namespace, resourceVersion: before)
            quest.seconds = 3
            let stream = try await client.watch(quest)
            var told: [String] = []
            var last: String?
            while let piece = try await stream.next() {
                for entry in piece.batch.entries {
                    told.append("\(entry.change) \(piece.batch.name(entry))")
                    if entry.change == .added { #expect(piece.batch.resourceVersion(entry) == first) }
                }
                last = piece.resourceVersion ?? last
                #expect(piece.status == nil)
            }
            #expect(told == ["added r-1", "modified r-1", "deleted r-1"])
            #expect(last.flatMap { Int($0) }.map { $0 > Int(first) ?? .max } == true)
        }
    }

    /// A version that the server's watches do not reach back to: 410, as a status or as an event.
    @Test func watchFromTheForgottenPastIsExpired() async throws {
        try await withCluster { cluster, client, namespace in
            _ = try await cluster.makeResult(client, "r-1", namespace)
            try await cluster.compact()
            let quest = WatchQuest(.probeResults, namespace: namespace, resourceVersion: "1")
            var kind: APIFailure.Kind?
            do throws(APIFailure) {
                let stream = try await client.watch(quest)
                while let piece = try await stream.next() {
                    if let status = piece.status { kind = APIVerdict.failure(quest.call, status).kind }
                }
            } catch {
                kind = error.kind
            }
            #expect(kind == .expired(continueToken: nil))
        }
    }

    /// Changes go on while the server crashes twice, and its store forgets the past: in the end the reader knows what there is.
    @Test func feedOutlivesTheServer() async throws {
        try await withCluster { cluster, client, namespace in
            for number in 0..<40 { _ = try await cluster.makeResult(client, "r-\(number)", namespace) }
            var quick = ListWatch.Settings()
            quick.longestPause = 1_000
            let follower = Follower(
                ObjectFeed(client, .probeResults, namespace: namespace, settings: quick, seed: 5))
            await follower.start()
            try await eventually("first list") { await follower.isListed }
            #expect(await follower.known == (try await truth(client, namespace)))
            for round in 0..<2 {
                try await patch(client, "r-1", namespace, round)
                try await cluster.stopAPIServer()
                let down = await failure { try await patch(client, "r-2", namespace, round) }
                #expect([.notSent, .noAnswer].contains(down?.kind), "\(String(describing: down))")
                try cluster.startAPIServer()
                try await cluster.untilReady()
                try await patch(client, "r-3", namespace, round)
                _ = try await client.send(
                    APICall(.delete, .probeResults, namespace: namespace, name: "r-\(10 + round)"))
                _ = try await cluster.makeResult(client, "new-\(round)", namespace)
                if round == 1 { try await cluster.compact() }
                let now = try await truth(client, namespace)
                try await eventually("everything is known") { await follower.known == now }
            }
            #expect(await !follower.troubles.isEmpty, "the crash was not noticed")
            await follower.stop()
        }
    }

    /// A selector that every server knows: what does not match is shown by neither list nor watch.
    @Test func selectorHoldsForListAndWatch() async throws {
        try await withCluster { cluster, client, namespace in
            for name in ["r-1", "r-2"] { _ = try await cluster.makeResult(client, name, namespace) }
            let follower = Follower(
                ObjectFeed(client, .probeResults, namespace: namespace, fieldSelector: "metadata.name=r-1", seed: 5))
            await follower.start()
            try await eventually("list") { await follower.isListed }
            #expect(await Array(follower.known.keys) == ["r-1"])
            try await patch(client, "r-2", namespace, 1)
            try await patch(client, "r-1", namespace, 1)
            let version = try await truth(client, namespace)["r-1"]
            try await eventually("change") { await follower.known["r-1"] == version }
            #expect(await follower.known.count == 1)
            #expect(await follower.restarts == 1)
            await follower.stop()
        }
    }

    /// Exported results leave the watch as deleted, though they are there.
    @Test func exportedResultsLeaveTheSelection() async throws {
        try await withCluster { cluster, client, namespace in
            let minor = try await cluster.minorVersion()
            guard minor >= 31 else {
                print(
                    "not run: selectable fields of custom resources need Kubernetes 1.31, and this server is 1.\(minor)"
                )
                return
            }
            let kind = try await cluster.makeSelectable(client)
            for name in ["r-1", "r-2"] {
                let object =
                    #"{"apiVersion":"\#(kind.apiVersion)","kind":"\#(kind.kind)","metadata":{"name":"\#(name)"},"#
                    + #""spec":{"audit":{"exportStatus":"Pending"}}}"#
                _ = try await client.create(kind, namespace: namespace, object: Array(object.utf8))
            }
            let follower = Follower(
                ObjectFeed(
                    client, kind, namespace: namespace, fieldSelector: "spec.audit.exportStatus!=Exported", seed: 5))
            await follower.start()
            try await eventually("list") { await follower.isListed }
            #expect(await follower.known.count == 2)
            _ = try await client.patch(
                kind, namespace: namespace, name: "r-1",
                patch: Array(#"{"spec":{"audit":{"exportStatus":"Exported"}}}"#.utf8))
            try await eventually("r-1 has left") { await Array(follower.known.keys) == ["r-2"] }
            #expect(await follower.troubles.isEmpty)
            #expect(try await client.get(kind, namespace: namespace, name: "r-1") != nil)
            await follower.stop()
        }
    }

    /// How a standby hears of a new leader: by a watch of one Lease, with rules for that one alone.
    @Test func leaseIsWatchedByName() async throws {
        try await withCluster { cluster, client, namespace in
            var lease = try await client.createLease(Lease(namespace: namespace, name: "leader"))
            var quest = WatchQuest(.leases, namespace: namespace, resourceVersion: lease.resourceVersion)
            quest.fieldSelector = "metadata.name=leader"
            let stream = try await client.watch(quest)
            _ = try await client.createLease(Lease(namespace: namespace, name: "other"))
            lease.holder = "b"
            lease = try await client.updateLease(lease)
            var piece = try await stream.next()
            while piece?.isOnlyBookmark == true { piece = try await stream.next() }
            let batch = try #require(piece?.batch)
            #expect(batch.entries.count == 1)
            #expect(Lease(json: batch.json(batch.entries[0])) == lease)
        }
    }

    /// A server ends the watch of a reader who stands still. Up to there nothing is missing, and from there it goes on.
    @Test func slowReaderMissesNothing() async throws {
        try await withCluster { cluster, client, namespace in
            let filler = #","x":"\#(String(repeating: "y", count: 100_000))""#
            let before = try await client.list(ListQuest(.probeResults, namespace: namespace)).resourceVersion
            var quest = WatchQuest(.probeResults, namespace: namespace, resourceVersion: before)
            quest.seconds = 60
            var stream = try await client.watch(quest, window: 64 << 10)
            for number in 0..<100 {
                _ = try await cluster.makeResult(client, "r-\(number)", namespace, extra: filler)
            }
            var names: [String] = []
            while names.count < 100 {
                if let piece = try await stream.next() {
                    names += piece.batch.entries.map { piece.batch.name($0) }
                    quest.resourceVersion = piece.resourceVersion ?? quest.resourceVersion
                } else {
                    stream = try await client.watch(quest, window: 64 << 10)
                }
            }
            #expect(names == (0..<100).map { "r-\($0)" })
        }
    }

    @Test func pageThatIsTooLargeSaysSo() async throws {
        try await withCluster { cluster, client, namespace in
            _ = try await cluster.makeResult(
                client, "r-1", namespace, extra: #","x":"\#(String(repeating: "y", count: 5_000))""#)
            var call = ListQuest(.probeResults, namespace: namespace).call
            call.maxBytes = 4_000
            let refused = await failure { _ = try await client.send(call) }
            #expect(refused?.kind == .tooLarge && refused?.mayHaveHappened == false)
        }
    }
}
