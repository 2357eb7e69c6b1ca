import ExportCore
import Model
import Testing
import Threading

@testable import Coordinator
@testable import KubernetesAPI

extension APIServerTests {
    /// Long against what a busy machine may leave a task without a turn.
    private static var quick: ElectionSettings {
        get throws { try ElectionSettings(lease: 9_000, renewDeadline: 6_000, retryPeriod: 400, requestTimeout: 2_000) }
    }

    private func withCandidates(
        _ body: (TestCluster, KubernetesClient, [Candidate]) async throws -> Void
    ) async throws {
        try await withCluster { cluster, admin, namespace in
            let settings = try Self.quick
            let candidates = (0..<2).map {
                Candidate(
                    "c\($0)", cluster.client(token: "admin-token"), namespace, settings, seed: UInt64($0) + 1)
            }
            for candidate in candidates { await candidate.start() }
            do {
                try await body(cluster, admin, candidates)
            } catch {
                for candidate in candidates { await candidate.stop() }
                throw error
            }
            for candidate in candidates { await candidate.stop() }
            // Nobody led in a term of another.
            var terms: [UInt64] = []
            for candidate in candidates { terms += await candidate.terms }
            #expect(Set(terms).count == terms.count, "\(terms)")
        }
    }

    /// Waits for the one that leads.
    private func leader(of candidates: [Candidate], but former: Candidate? = nil) async throws -> Candidate {
        var found: Candidate?
        try await eventually("somebody leads") {
            found = nil
            for candidate in candidates where candidate !== former {
                if await candidate.isLeading { found = candidate }
            }
            return found != nil
        }
        return try #require(found)
    }

    @Test func oneOfTwoLeadsAndTheOtherFollowsAtOnce() async throws {
        try await withCandidates { _, admin, candidates in
            let first = try await leader(of: candidates)
            let second = try #require(candidates.first { $0 !== first })
            let fence = try #require(await first.fence)
            try await first.cluster.require(fence)
            #expect(await !second.isLeading)
            let begun = SystemClock.now()
            await first.stop()
            _ = try await leader(of: candidates, but: first)
            // Far less than the lease that would have to be waited out.
            #expect(await second.began.milliseconds(since: begun) < 6_000)
            #expect(await (second.terms.last ?? 0) > fence.term)
            #expect(await refusal { try await first.cluster.require(fence) }?.kind != nil)
            _ = admin
        }
    }

    @Test func leaseThatIsDeletedUnderItsLeaderStaysTheLeaders() async throws {
        try await withCandidates { _, admin, candidates in
            let first = try await leader(of: candidates)
            let fence = try #require(await first.fence)
            let names = first.cluster.names
            _ = try await admin.send(
                APICall(.delete, .leases, namespace: first.cluster.namespace, name: names.leader))
            try await eventually("it is there again") {
                let lease = try? await first.leases.readLease().stored?.record
                return lease?.holder == first.name && lease?.term == fence.term
            }
            #expect(await first.fence == fence)
            #expect(await first.stepDowns.isEmpty)
        }
    }

    /// Emptied by a person: its leader steps down when it learns of that, and somebody leads again in a later term.
    @Test func leaseThatAPersonEmptiesIsTakenInALaterTerm() async throws {
        try await withCandidates { _, admin, candidates in
            let first = try await leader(of: candidates)
            let fence = try #require(await first.fence)
            _ = try await admin.patch(
                .leases, namespace: first.cluster.namespace, name: first.cluster.names.leader,
                patch: Array(#"{"spec":{"holderIdentity":""}}"#.utf8))
            try await eventually("it steps down") { await first.stepDowns == [.lost(to: "")] }
            let next = try await leader(of: candidates)
            #expect(await (next.fence?.term ?? 0) > fence.term)
        }
    }

    /// The server crashes and comes again: its leader goes on if that took less than its deadline, and somebody leads either way.
    @Test func restartOfTheServerEndsNoElection() async throws {
        try await withCandidates { cluster, _, candidates in
            let first = try await leader(of: candidates)
            let term = try #require(await first.fence).term
            try await cluster.stopAPIServer()
            try await eventually("it is noticed") { await !first.troubles.isEmpty }
            #expect(await first.troubles.last?.kind == .busy)
            try cluster.startAPIServer()
            try await cluster.untilReady()
            let next = try await leader(of: candidates)
            let after = try #require(await next.fence).term
            #expect(next === first ? after >= term : after > term)
        }
    }

    /// etcd stands still: the API server answers nothing. Requests end by their own time, the leader steps down before anybody
    /// may follow, and when etcd goes on somebody leads.
    @Test func storeThatStandsStillCostsTheLeadAndNothingElse() async throws {
        try await withCandidates { cluster, _, candidates in
            let first = try await leader(of: candidates)
            let fence = try #require(await first.fence)
            let gate = KubernetesGate(first.cluster)
            #expect(try await gate.writeGate(Member.gate(first.name, fence.term, 1), fence: fence, before: .far) == nil)
            try await cluster.freeze("etcd", true)
            let begun = SystemClock.now()
            let refused = await refusal {
                _ = try await gate.writeGate(Member.gate(first.name, fence.term, 2), fence: fence, before: .far)
            }
            let took = SystemClock.now().milliseconds(since: begun)
            #expect(refused?.kind == .busy, "\(String(describing: refused))")
            #expect(took < 20_000, "requests have a time of their own")
            do {
                try await eventually("it steps down") { await first.stepDowns == [.renewDeadline] }
                for candidate in candidates { #expect(await !candidate.isLeading) }
            } catch {
                try await cluster.freeze("etcd", false)
                throw error
            }
            try await cluster.freeze("etcd", false)
            let next = try await leader(of: candidates)
            #expect(await (next.fence?.term ?? 0) > fence.term)
            // What was asked for in the old term's name.
            let late = await refusal {
                _ = try await gate.writeGate(Member.gate(first.name, fence.term, 3), fence: fence, before: .far)
            }
            #expect(late?.kind == .fenced)
        }
    }
}
