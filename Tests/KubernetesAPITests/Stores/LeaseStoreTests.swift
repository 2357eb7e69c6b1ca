import ExportCore
import Model
import Testing
import Threading

@testable import Coordinator
@testable import KubernetesAPI

extension APIServerTests {
    /// Runs `body` with the stores of two coordinators.
    func withMembers(
        confirmed: UInt64 = 60_000, request: UInt64 = 20_000,
        _ body: (TestCluster, KubernetesClient, Member, Member) async throws -> Void
    ) async throws {
        try await withCluster { cluster, admin, namespace in
            let members = (0..<2).map { _ in
                Member(cluster.client(token: "admin-token"), namespace, confirmed: confirmed, request: request)
            }
            do {
                try await body(cluster, admin, members[0], members[1])
            } catch {
                for member in members { await member.close() }
                throw error
            }
            for member in members { await member.close() }
        }
    }

    func remove(_ admin: KubernetesClient, _ name: String, of member: Member) async throws {
        _ = try await admin.send(APICall(.delete, .leases, namespace: member.cluster.namespace, name: name))
    }

    func edit(_ admin: KubernetesClient, _ name: String, of member: Member, _ patch: String) async throws {
        _ = try await admin.patch(
            .leases, namespace: member.cluster.namespace, name: name, patch: Array(patch.utf8))
    }

    @Test func leaseIsWrittenOnlyOverTheVersionThatWasSeen() async throws {
        try await withMembers { _, admin, a, b in
            #expect(try await a.leases.readLease() == LeaseState(stored: nil, highestTerm: 0))
            #expect(try await a.leases.writeLease(Member.record("a", 1), replacing: LeaseVersion("17")) == nil)
            let first = try #require(try await a.leases.writeLease(Member.record("a", 1), replacing: nil))
            #expect(try await b.leases.writeLease(Member.record("b", 1), replacing: nil) == nil)
            let seen = try await b.leases.readLease()
            #expect(seen == LeaseState(stored: .init(record: Member.record("a", 1), version: first), highestTerm: 1))
            let second = try #require(try await b.leases.writeLease(Member.record("b", 2), replacing: first))
            #expect(try await a.leases.writeLease(Member.record("a", 1, renewal: 2), replacing: first) == nil)
            #expect(try await a.leases.readLease().stored == .init(record: Member.record("b", 2), version: second))
            // What others see with kubectl.
            let shown = try #require(
                try await admin.lease(namespace: a.cluster.namespace, name: a.cluster.names.leader))
            #expect(shown.holder == "b" && shown.transitions == 2 && shown.durationSeconds == 16)
            #expect(shown.annotations["export.sidereal.cloud/address"] == "b:7443")
            #expect(shown.renewed != nil && shown.acquired != nil)
        }
    }

    @Test func writersLoseNoCount() async throws {
        try await withMembers { _, _, a, b in
            _ = try await a.leases.writeLease(Member.record("x", 1, renewal: 0), replacing: nil)
            let written = try await withThrowingTaskGroup(of: Int.self) { group in
                for member in [a, b] {
                    group.addTask {
                        var done = 0
                        while done < 15 {
                            guard let seen = try await member.leases.readLease().stored else { continue }
                            let next = Member.record("x", 1, renewal: seen.record.renewal + 1)
                            if try await member.leases.writeLease(next, replacing: seen.version) != nil { done += 1 }
                        }
                        return done
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(try await a.leases.readLease().stored?.record.renewal == UInt64(written))
        }
    }

    @Test func deletedLeaseDoesNotBeginAgainAtOne() async throws {
        try await withMembers { _, admin, a, b in
            try await a.lead("a", 7)
            let version = try await a.leases.readLease().stored?.version
            try await remove(admin, a.cluster.names.leader, of: a)
            // Somebody who has never seen it.
            #expect(try await b.leases.readLease() == LeaseState(stored: nil, highestTerm: 7))
            #expect(try await a.leases.writeLease(Member.record("a", 7, renewal: 2), replacing: version) == nil)
            // Made anew by somebody who knows nothing of terms.
            var foreign = Lease(namespace: a.cluster.namespace, name: a.cluster.names.leader)
            (foreign.holder, foreign.durationSeconds) = ("kubectl", 20)
            _ = try await admin.createLease(foreign)
            let third = Member(admin, a.cluster.namespace)
            let state = try await third.leases.readLease()
            await third.leases.close()
            #expect(state.highestTerm == 7 && state.stored?.record.holder == "kubectl")
            #expect(state.stored?.record.durationMilliseconds == 20_000)
            // The trace in the gate's Lease admits no probe and is nobody's record.
            #expect(try await b.gate.readGate() == nil)
            // A term that grows by hand is believed.
            try await edit(admin, a.cluster.names.leader, of: a, #"{"spec":{"leaseTransitions":12}}"#)
            #expect(try await b.leases.readLease().highestTerm == 12)
        }
    }

    @Test func changeOfALeaseIsNoticedSoonAndOwnWritesAreNone() async throws {
        try await withMembers { _, admin, a, b in
            #expect(await b.leases.waitForLeaseChange(since: nil, milliseconds: 300) == false)
            async let born = b.leases.waitForLeaseChange(since: nil, milliseconds: 60_000)
            try await a.lead("a", 1)
            #expect(await born)
            let version = try await b.leases.readLease().stored?.version
            #expect(await b.leases.waitForLeaseChange(since: version, milliseconds: 300) == false)
            async let change = b.leases.waitForLeaseChange(since: version, milliseconds: 60_000)
            let begun = SystemClock.now()
            try await a.lead("", 1)
            #expect(await change)
            let now = try await b.leases.readLease().stored?.version
            async let death = b.leases.waitForLeaseChange(since: now, milliseconds: 60_000)
            try await remove(admin, a.cluster.names.leader, of: a)
            #expect(await death)
            #expect(SystemClock.now().milliseconds(since: begun) < 30_000)
            let waiting = Task { await b.leases.waitForLeaseChange(since: nil, milliseconds: 600_000) }
            waiting.cancel()
            #expect(await waiting.value == false)
        }
    }

    @Test func missingNamespaceAndRuleAreSaidInWords() async throws {
        try await withCluster { cluster, _, namespace in
            let lost = Member(cluster.client(token: "admin-token"), "no-such-namespace")
            let missing = await refusal { _ = try await lost.leases.writeLease(Member.record("a", 1), replacing: nil) }
            #expect(missing?.kind == .unusable && missing?.description.contains("no-such-namespace") == true)
            await lost.close()
            let nobody = Member(cluster.client(token: "nobody-token"), namespace)
            let refused = await refusal { _ = try await nobody.leases.readLease() }
            #expect(refused?.kind == .unusable)
            #expect(
                refused?.description.contains(
                    #"{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get"]}"#) == true)
            await nobody.close()
        }
    }
}
