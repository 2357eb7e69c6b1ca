import ExportCore
import Formats
import KubernetesAPI
import Model
import Testing

@testable import Coordinator

@Suite struct LeaseFormTests {
    private func lease(_ record: LeaseRecord) -> Lease {
        LeaseForm.lease(
            record, namespace: "s", name: "leader", replacing: nil, acquired: true, microseconds: 1_764_000_000_123_000)
    }

    @Test func aRecordComesBackAsItWas() {
        var rng = PRNG(seed: 7)
        for _ in 0..<500 {
            let term = rng.below(4) == 0 ? LeaderElection.maxTerm - rng.below(3) : rng.below(1 << 33)
            var record = LeaseRecord(
                holder: ["", LeaseRecord.vacant, "pod_1f", "é\"\n"][Int(rng.below(4))],
                address: "10.0.0.\(rng.below(256)):7443",
                term: term, renewal: rng.below(1 << 40), durationMilliseconds: 1 + rng.below(60_000))
            record.endpoint = rng.below(2) == 0 ? "" : "http://[::1]:8080"
            let made = lease(record)
            #expect(LeaseForm.record(made) == record)
            // As the API server checks it.
            #expect(made.durationSeconds > 0 && made.transitions <= Int(Int32.max) && made.transitions >= 0)
            #expect(LeaseForm.tellsTerm(made))
        }
    }

    @Test func whatOthersMadeOfItIsTakenAsFarAsItCanBe() {
        var foreign = Lease(namespace: "s", name: "leader")
        (foreign.holder, foreign.transitions, foreign.durationSeconds) = ("somebody", 12, 40)
        #expect(
            LeaseForm.record(foreign)
                == LeaseRecord(holder: "somebody", address: "", term: 12, renewal: 0, durationMilliseconds: 40_000))
        #expect(!LeaseForm.tellsTerm(foreign))
        // The higher of both tells the term; words that are none are passed over.
        var edited = lease(leaseRecord("a", 5))
        edited.transitions = 9
        #expect(LeaseForm.record(edited).term == 9)
        for word in ["", "-1", "1e3", "99999999999999999999", "9007199254740993"] {
            edited.annotations["export.sidereal.cloud/term"] = word
            #expect(LeaseForm.record(edited).term == 9 && !LeaseForm.tellsTerm(edited))
        }
        // Whoever edits the duration means it.
        edited.durationSeconds = 60
        #expect(LeaseForm.record(edited).durationMilliseconds == 60_000)
        (edited.transitions, edited.durationSeconds) = (-4, -1)
        #expect(LeaseForm.record(edited).term == 0 && LeaseForm.record(edited).durationMilliseconds == 0)
    }

    /// Leases are written by merge patches, so what is not written stays.
    @Test func whatALaterReleaseAddedToTheLeaseStays() {
        let record = leaseRecord("a", 5)
        var there = lease(record)
        there.annotations["export.sidereal.cloud/mood"] = "wary"
        #expect(LeaseForm.record(there) == record && LeaseForm.tellsTerm(there))
        let made = lease(leaseRecord("b", 6))
        #expect(made.dropped.isEmpty && made.annotations["export.sidereal.cloud/mood"] == nil)
    }

    @Test func theGateKeepsTheHighestTerm() {
        var gate = Lease(namespace: "s", name: "gate")
        #expect(LeaseForm.highestTerm(gate) == 0)
        gate.annotations = ["export.sidereal.cloud/highest-term": "17"]
        #expect(LeaseForm.highestTerm(gate) == 17)
        #expect(GateForm.record(gate) == nil)
    }
}

@Suite struct GateFormTests {
    private let open = GateRecord(
        version: .init(term: 3, sequence: 8), holder: "a_1", durationSeconds: 45, state: .open,
        reason: "works \"well\"",
        since: 17, episode: Episode(id: .init(term: 2, number: 1), since: 5, cause: "é"),
        ended: .init(term: 1, number: 9))

    private func form(_ record: GateRecord, _ there: Lease?, _ microseconds: Int64) -> Lease {
        GateForm.lease(record, replacing: there, namespace: "s", name: "gate", microseconds: microseconds)
    }

    @Test func aRecordComesBackAsItWas() {
        let made = form(open, nil, 1_764_000_000_123_000)
        var read = GateForm.record(made)
        #expect(read?.renewed == 1_764_000_000_123)
        read?.renewed = nil
        #expect(read == open)
        #expect(made.acquired == 1_764_000_000_123_000 && made.transitions == 3)
    }

    @Test func aClosedGateKeepsTheTimeOfItsLastRenewal() {
        var closed = open
        (closed.holder, closed.state) = ("", .halted)
        var there = form(open, nil, 1_000)
        there.resourceVersion = "5"
        let made = form(closed, there, 2_000)
        #expect(made.holder.isEmpty && made.renewed == 1_000 && made.resourceVersion == "5")
        #expect(form(closed, nil, 2_000).renewed == nil)
        #expect(form(open, there, 3_000).acquired == 1_000, "the same holder has not acquired it anew")
    }

    /// An episode that has ended must not be found by the next leader.
    @Test func annotationsThatSayNothingAnyMoreAreTakenAway() {
        var there = form(open, nil, 1_000)
        there.annotations["export.sidereal.cloud/highest-term"] = "4"
        there.annotations["example.com/owner"] = "ops"
        var calm = open
        (calm.episode, calm.ended) = (nil, nil)
        let made = form(calm, there, 2_000)
        #expect(
            made.dropped == [
                "export.sidereal.cloud/episode", "export.sidereal.cloud/episode-since",
                "export.sidereal.cloud/episode-cause", "export.sidereal.cloud/ended-episode",
            ])
        #expect(made.annotations["example.com/owner"] == nil, "what is of others is not written")
    }

    /// Nothing may depend on it: the record of an earlier release that leads says something else.
    @Test func whatALaterReleaseAddedIsTakenAwayByAnEarlierLeader() throws {
        var there = form(open, nil, 1_000)
        there.annotations["export.sidereal.cloud/gate-state"] = "cautious"
        there.annotations["export.sidereal.cloud/gate-mood"] = "wary"
        there.annotations["export.sidereal.cloud/highest-term"] = "4"
        there.annotations["example.com/mood"] = "theirs"
        let found = try #require(GateForm.record(there))
        #expect(found.state == .unknown && found.isOpen && found.version == open.version)
        #expect(found.episode == open.episode && found.ended == open.ended)
        var next = open
        next.version = .init(term: 4, sequence: 9)
        #expect(next.mayReplace(found))
        let made = form(next, there, 2_000)
        #expect(made.dropped == ["export.sidereal.cloud/gate-mood"])
        #expect(made.annotations["export.sidereal.cloud/gate-state"] == "open")
    }

    @Test func longWordsAreCut() {
        var long = open
        long.reason = String(repeating: "é", count: 4_000)
        let made = form(long, nil, 1)
        let reason = GateForm.record(made)?.reason ?? ""
        #expect(reason.utf8.count == GateForm.maxTextBytes && long.reason.hasPrefix(reason))
        #expect(TextCut.prefix("abc", bytes: 3) == "abc")
        #expect(TextCut.prefix("ab👩‍👩‍👧", bytes: 8) == "ab")
        #expect(TextCut.prefix("é", bytes: 1) == "")
    }

    @Test func whatNobodyWroteIsNoRecord() {
        var lease = Lease(namespace: "s", name: "gate")
        #expect(GateForm.record(lease) == nil)
        lease.holder = "kubectl"
        #expect(GateForm.record(lease)?.version == .init(term: 0, sequence: 0))
        #expect(GateForm.record(lease)?.isOpen == true)
        #expect(open.mayReplace(GateForm.record(lease)))
    }
}
