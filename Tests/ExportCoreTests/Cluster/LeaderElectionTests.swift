import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

/// One candidate, step by step.
@Suite struct LeaderElectionTests {
    struct Script {
        var machine: LeaderElection
        var rng = PRNG(seed: 1)

        init(highestTerm: UInt64 = 0) {
            machine = LeaderElection(
                identity: "a/1", address: "a:7000", highestTerm: highestTerm, now: Tick(nanoseconds: 0))
        }

        /// Milliseconds since the start.
        mutating func at(_ time: UInt64, _ event: LeaderElection.Event) -> [LeaderElection.Effect] {
            machine.handle(event, now: tick(time), rng: &rng)
        }

        func isLeading(_ time: UInt64) -> Bool { machine.isLeading(now: tick(time)) }

        func tick(_ time: UInt64) -> Tick { Tick(nanoseconds: 0).adding(milliseconds: time) }

        /// Leads in term 1 since 100, by a write begun at 50.
        static func leader() -> Script {
            var script = Script()
            _ = script.at(0, .tick)
            let empty = LeaseRecord(
                holder: "", address: "", term: 0, renewal: 0, durationMilliseconds: 15_000)
            let stored = LeaseState.Stored(record: empty, version: LeaseVersion("v0"))
            _ = script.at(50, .read(id: 1, LeaseState(stored: stored, highestTerm: 0)))
            _ = script.at(100, .wrote(id: 2, LeaseVersion("v1")))
            return script
        }
    }

    func record(_ holder: String, _ term: UInt64, _ renewal: UInt64) -> LeaseRecord {
        LeaseRecord(
            holder: holder, address: holder.isEmpty ? "" : "\(holder.prefix(1)):7000", term: term, renewal: renewal,
            durationMilliseconds: 15_000)
    }

    func state(_ record: LeaseRecord, _ version: String) -> LeaseState {
        LeaseState(
            stored: LeaseState.Stored(record: record, version: LeaseVersion(version)), highestTerm: record.term)
    }

    @Test func aLeaseThatNobodyEverHeldIsTakenAtOnce() {
        var script = Script()
        #expect(script.at(0, .tick) == [.read(id: 1)])
        let first = script.at(20, .read(id: 1, LeaseState(stored: nil, highestTerm: 0)))
        #expect(first == [.follow(nil), .write(id: 2, record("", 0, 1), replacing: nil)])
        #expect(script.at(30, .wrote(id: 2, LeaseVersion("v0"))) == [.read(id: 3)])
        let second = script.at(
            50, .read(id: 3, LeaseState(stored: state(record("", 0, 1), "v0").stored, highestTerm: 0)))
        #expect(second == [.write(id: 4, record("a/1", 1, 2), replacing: LeaseVersion("v0"))])
        #expect(!script.isLeading(99))
        #expect(script.at(100, .wrote(id: 4, LeaseVersion("v1"))) == [.lead(term: 1)])
        #expect(script.isLeading(100) && script.isLeading(10_049) && !script.isLeading(10_050))
        #expect(script.machine.leading(now: script.tick(100))?.until == script.tick(10_050))
    }

    /// What asks for a lease not to be there may be carried out long after, when others led and theirs was deleted.
    @Test func anEmptyLeaseOfNoTermIsNotFreeOnceSomebodyLed() {
        var script = Script()
        _ = script.at(0, .tick)
        let late = LeaseState(stored: state(record("", 0, 1), "v7").stored, highestTerm: 3)
        #expect(script.at(20, .read(id: 1, late)) == [.follow(nil)])
        #expect(script.at(2_100, .tick) == [.read(id: 2)])
    }

    /// Its holder does not know yet, and acts.
    @Test func aLeaseThatSomebodyEmptiedIsWaitedOut() {
        var script = Script()
        _ = script.at(0, .tick)
        var emptied = record("b/1", 4, 9)
        emptied.holder = ""
        #expect(script.at(50, .read(id: 1, state(emptied, "v7"))) == [.follow(nil)])
        _ = script.at(15_000, .tick)
        #expect(script.at(15_040, .read(id: 2, state(emptied, "v7"))) == [])
        let taken = script.at(15_050, .tick)
        #expect(taken == [.write(id: 3, record("a/1", 5, 10), replacing: LeaseVersion("v7"))])
        _ = script.at(15_060, .wrote(id: 3, LeaseVersion("v8")))
        #expect(script.machine.quietSince == script.tick(10_050))
    }

    @Test func aDeletedLeaseIsWaitedForAndItsTermsGoOn() {
        var script = Script()
        _ = script.at(0, .tick)
        let made = script.at(50, .read(id: 1, LeaseState(stored: nil, highestTerm: 7)))
        let vacant = record(LeaseRecord.vacant, 7, 1)
        #expect(
            made.last
                == .write(
                    id: 2,
                    LeaseRecord(
                        holder: LeaseRecord.vacant, address: "", term: 7, renewal: 1, durationMilliseconds: 15_000),
                    replacing: nil))
        #expect(script.at(60, .wrote(id: 2, LeaseVersion("v1"))) == [.read(id: 3)])
        _ = script.at(70, .read(id: 3, state(vacant, "v1")))
        for time in stride(from: 1_000 as UInt64, to: 15_000, by: 1_000) {
            for effect in script.at(time, .tick) {
                guard case .read(let id) = effect else {
                    Issue.record("at \(time): \(effect)")
                    continue
                }
                _ = script.at(time, .read(id: id, state(vacant, "v1")))
            }
        }
        let last = script.at(15_070, .tick)
        #expect(last == [.write(id: 11, record("a/1", 8, 2), replacing: LeaseVersion("v1"))])
    }

    @Test func aLeaderTakesOnWhatOthersMadeInPlaceOfItsLease() {
        var script = Script.leader()
        _ = script.at(500, .changed)
        let made = script.at(520, .read(id: 3, state(record(LeaseRecord.vacant, 1, 1), "v9")))
        #expect(made == [.write(id: 4, record("a/1", 1, 2), replacing: LeaseVersion("v9"))])
        #expect(script.at(540, .wrote(id: 4, LeaseVersion("v10"))) == [])
        #expect(script.isLeading(10_519) && !script.isLeading(10_520))
    }

    @Test func anothersLeaseIsTakenWhenItHasNotChangedForItsDuration() {
        var script = Script()
        _ = script.at(0, .tick)
        let other = state(record("b/1", 4, 9), "v9")
        #expect(
            script.at(50, .read(id: 1, other)) == [
                .follow(LeaderElection.Leader(identity: "b/1", address: "b:7000", term: 4))
            ])
        #expect(script.machine.leader(now: script.tick(15_049))?.identity == "b/1")
        #expect(script.machine.leader(now: script.tick(15_050)) == nil)
        // It should have been renewed twice by then.
        #expect(!script.machine.isLeaderInDoubt(now: script.tick(6_049)))
        #expect(script.machine.isLeaderInDoubt(now: script.tick(6_050)))
        // Renewed once: the count begins again.
        #expect(script.at(2_100, .tick) == [.read(id: 2)])
        _ = script.at(2_150, .read(id: 2, state(record("b/1", 4, 10), "v10")))
        #expect(script.at(15_100, .tick) == [.read(id: 3)])
        _ = script.at(15_150, .read(id: 3, state(record("b/1", 4, 10), "v10")))
        #expect(
            script.at(17_150, .tick) == [.write(id: 4, record("a/1", 5, 11), replacing: LeaseVersion("v10"))])
        _ = script.at(17_160, .conflict(id: 4))
        #expect(!script.isLeading(17_160))
    }

    /// Whoever let the lease lapse has not acted for the difference of lease and deadline; whoever gave it back, or holds it
    /// by other settings than ours, may have acted for longer.
    @Test(
        arguments: [("b/1", 15_000, 10_050), ("b/1", 12_000, 12_050), ("", 15_000, 50)] as [(String, UInt64, UInt64)])
    func aNewLeaderKnowsSinceWhenNobodyActed(holder: String, duration: UInt64, quietSince: UInt64) {
        var script = Script()
        _ = script.at(0, .tick)
        var seen = record(holder, 4, 9)
        seen.durationMilliseconds = duration
        _ = script.at(50, .read(id: 1, state(seen, "v9")))
        #expect(script.machine.quietSince == nil)
        if !holder.isEmpty { _ = script.at(15_050, .tick) }
        let time: UInt64 = holder.isEmpty ? 50 : 15_050
        // A reading may be under way; what it brings is the same.
        for effect in script.at(time, .tick) {
            if case .read(let id) = effect { _ = script.at(time, .read(id: id, state(seen, "v9"))) }
        }
        for id in 2...4 as ClosedRange<UInt64> { _ = script.at(time + 10, .wrote(id: id, LeaseVersion("v10"))) }
        #expect(script.isLeading(time + 10) && script.machine.quietSince == script.tick(quietSince))
        // Renewals change nothing of it.
        _ = script.at(time + 2_100, .tick)
        #expect(script.machine.quietSince == script.tick(quietSince))
    }

    @Test func anOutageEndsALeaderAtItsDeadlineAndNotBefore() {
        var script = Script.leader()
        var last: UInt64 = 100
        while last < 10_049, let next = script.machine.nextTick {
            last = min(max(next.milliseconds(since: Tick(nanoseconds: 0)), last + 1), 10_049)
            for effect in script.at(last, .tick) {
                switch effect {
                case .read(let id), .write(let id, _, _): _ = script.at(last, .failed(id: id))
                default: Issue.record("at \(last): \(effect)")
                }
            }
            #expect(script.isLeading(last))
        }
        #expect(script.at(10_050, .tick).first == .stepDown(term: 1, .renewDeadline))
    }

    @Test func aWriteWithoutAnswerCountsFromItsBeginOnceItIsRead() {
        var script = Script.leader()
        let renewal = script.at(2_050, .tick)
        #expect(renewal == [.write(id: 3, record("a/1", 1, 2), replacing: LeaseVersion("v1"))])
        #expect(script.at(6_050, .tick) == [.read(id: 4)])
        #expect(!script.isLeading(10_050))
        _ = script.at(6_100, .read(id: 4, state(record("a/1", 1, 2), "v2")))
        #expect(script.isLeading(12_049) && !script.isLeading(12_050))
    }

    @Test func aWriteThatWasLostIsNoSuccess() {
        var script = Script.leader()
        _ = script.at(2_050, .tick)
        #expect(script.at(3_000, .failed(id: 3)) == [.read(id: 4)])
        let again = script.at(3_100, .read(id: 4, state(record("a/1", 1, 1), "v1")))
        #expect(again == [.write(id: 5, record("a/1", 1, 3), replacing: LeaseVersion("v1"))])
        #expect(!script.isLeading(10_050))
    }

    @Test func anAnswerThatComesAfterTheTermBeginsANewOne() {
        var script = Script.leader()
        _ = script.at(2_050, .tick)
        _ = script.at(6_050, .tick)
        _ = script.at(9_500, .failed(id: 4))
        #expect(script.at(10_050, .tick).first == .stepDown(term: 1, .renewDeadline))
        guard case .read(let id) = script.at(12_040, .tick).last else { return }
        let after = script.at(12_045, .read(id: id, state(record("a/1", 1, 2), "v2")))
        #expect(!script.isLeading(12_045))
        guard case .write(let next, let written, LeaseVersion("v2")) = after.last else {
            Issue.record("\(after)")
            return
        }
        #expect(written.term == 2)
        #expect(script.at(12_060, .wrote(id: next, LeaseVersion("v3"))) == [.lead(term: 2)])
    }

    @Test func answersToEarlierRequestsAreIgnored() {
        var script = Script.leader()
        _ = script.at(2_050, .tick)
        _ = script.at(6_050, .tick)
        #expect(script.at(6_060, .wrote(id: 3, LeaseVersion("v2"))) == [])
        #expect(!script.isLeading(10_050))
        #expect(script.at(6_070, .conflict(id: 3)) == [])
    }

    @Test func aLeaderSeesThatTheLeaseIsAnothers() {
        var script = Script.leader()
        #expect(script.at(500, .changed) == [.read(id: 3)])
        let lost = script.at(520, .read(id: 3, state(record("b/1", 2, 7), "v8")))
        #expect(lost.first == .stepDown(term: 1, .lost(to: "b/1")))
        #expect(
            lost.last == .follow(LeaderElection.Leader(identity: "b/1", address: "b:7000", term: 2)) && lost.count == 2)
        #expect(!script.isLeading(520))
    }

    @Test func aHintThatNothingChangedMakesNoRenewal() {
        var script = Script.leader()
        #expect(script.at(500, .changed) == [.read(id: 3)])
        #expect(script.at(520, .read(id: 3, state(record("a/1", 1, 1), "v1"))) == [])
        #expect(script.isLeading(10_049))
    }

    @Test func aDeletedLeaseIsMadeAgainByItsLeader() {
        var script = Script.leader()
        _ = script.at(500, .changed)
        let made = script.at(520, .read(id: 3, LeaseState(stored: nil, highestTerm: 1)))
        #expect(made == [.write(id: 4, record("a/1", 1, 2), replacing: nil)])
        #expect(script.at(540, .wrote(id: 4, LeaseVersion("v2"))) == [])
        #expect(script.isLeading(10_519) && !script.isLeading(10_520))
    }

    @Test func aHigherTermEndsOurs() {
        var script = Script.leader()
        #expect(script.at(500, .heard(term: 1)) == [])
        #expect(script.at(500, .heard(term: .max)) == [])
        let effects = script.at(500, .heard(term: 12))
        #expect(effects == [.stepDown(term: 1, .outranked(by: 12)), .read(id: 3)])
        // Whoever served that term may still act, so our own lease is waited out as well.
        #expect(script.at(520, .read(id: 3, state(record("a/1", 1, 1), "v1"))) == [])
        #expect(script.machine.highestKnownTerm == 12)
    }

    @Test func termsKnownFromElsewhereAreOutgrown() {
        var script = Script(highestTerm: 41)
        _ = script.at(0, .tick)
        _ = script.at(10, .read(id: 1, state(record("", 41, 5), "v5")))
        #expect(script.at(20, .wrote(id: 2, LeaseVersion("v6"))) == [.lead(term: 42)])
    }

    @Test func whatIsGivenBackIsTakenAtOnce() {
        var script = Script.leader()
        let going = script.at(1_000, .shutDown)
        let released = record("", 1, 2)
        #expect(
            going == [
                .stepDown(term: 1, .shutdown), .write(id: 3, released, replacing: LeaseVersion("v1")),
            ])
        #expect(!script.isLeading(1_000))
        #expect(script.at(1_020, .wrote(id: 3, LeaseVersion("v2"))) == [.finished])
        #expect(script.machine.nextTick == nil && script.at(2_000, .tick) == [])

        var next = Script()
        _ = next.at(0, .tick)
        let taken = next.at(10, .read(id: 1, state(released, "v2")))
        #expect(taken.last == .write(id: 2, record("a/1", 2, 3), replacing: LeaseVersion("v2")))
    }

    @Test func whoResignsGivesTheLeaseBackAndLetsOthersLeadFirst() {
        var script = Script.leader()
        let going = script.at(1_000, .resign)
        #expect(going == [.stepDown(term: 1, .resigned), .read(id: 3)])
        #expect(!script.isLeading(1_000))
        let held = state(record("a/1", 1, 1), "v1")
        let back = script.at(1_010, .read(id: 3, held))
        #expect(back == [.write(id: 4, record("", 1, 2), replacing: LeaseVersion("v1"))])
        // Whatever wakes it, it takes nothing before the time of a lease is over.
        #expect(script.at(1_020, .wrote(id: 4, LeaseVersion("v2"))) == [.read(id: 5)])
        let free = state(record("", 1, 2), "v2")
        #expect(script.at(1_030, .read(id: 5, free)) == [])
        #expect(script.at(1_040, .changed) == [.read(id: 6)])
        #expect(script.at(1_050, .read(id: 6, free)) == [])
        #expect(script.at(15_900, .changed) == [.read(id: 7)])
        #expect(script.at(15_910, .read(id: 7, free)) == [])
        // Nobody came.
        #expect(script.machine.nextTick == script.tick(16_000))
        #expect(script.at(16_000, .tick) == [.write(id: 8, record("a/1", 2, 3), replacing: LeaseVersion("v2"))])
        #expect(script.at(16_010, .wrote(id: 8, LeaseVersion("v3"))) == [.lead(term: 2)])
    }

    @Test func whoResignsFollowsWhoeverCame() {
        var script = Script.leader()
        _ = script.at(1_000, .resign)
        let other = state(record("b/1", 2, 5), "v9")
        let seen = script.at(1_010, .read(id: 3, other))
        #expect(seen == [.follow(LeaderElection.Leader(identity: "b/1", address: "b:7000", term: 2))])
        #expect(script.at(1_020, .resign) == [] && !script.isLeading(1_020))
    }

    @Test func aLeaseThatCameDuringShutdownIsGivenBack() {
        var script = Script()
        _ = script.at(0, .tick)
        _ = script.at(50, .read(id: 1, state(record("", 0, 0), "v0")))
        #expect(script.at(60, .shutDown) == [])
        let answer = script.at(100, .wrote(id: 2, LeaseVersion("v1")))
        #expect(answer == [.write(id: 3, record("", 1, 2), replacing: LeaseVersion("v1"))])
        // Not answered: it is looked at, and is still there.
        #expect(script.at(200, .failed(id: 3)) == [.read(id: 4)])
        let again = script.at(250, .read(id: 4, state(record("a/1", 1, 1), "v1")))
        #expect(again == [.write(id: 5, record("", 1, 3), replacing: LeaseVersion("v1"))])
        #expect(script.at(260, .conflict(id: 5)) == [.read(id: 6)])
        let end = script.at(270, .read(id: 6, state(record("b/1", 2, 4), "v3")))
        #expect(end.last == .finished)
    }

    @Test func aShutdownDoesNotWaitForEver() {
        var script = Script.leader()
        _ = script.at(1_000, .shutDown)
        #expect(script.at(10_999, .tick).contains(.finished) == false)
        #expect(script.at(11_000, .tick).contains(.finished))
    }

    @Test func settingsThatDoNotGoTogetherAreRefused() throws {
        _ = try ElectionSettings(lease: 1_500, renewDeadline: 1_000, retryPeriod: 200, requestTimeout: 400)
        #expect(throws: ElectionSettings.Mistake.self) {
            try ElectionSettings(lease: 10_000, renewDeadline: 10_000, retryPeriod: 2_000, requestTimeout: 4_000)
        }
        #expect(throws: ElectionSettings.Mistake.self) {
            try ElectionSettings(lease: 15_000, renewDeadline: 2_400, retryPeriod: 2_000, requestTimeout: 1_000)
        }
        #expect(throws: ElectionSettings.Mistake.self) {
            try ElectionSettings(lease: 15_000, renewDeadline: 10_000, retryPeriod: 2_000, requestTimeout: 10_000)
        }
        #expect(throws: ElectionSettings.Mistake.self) {
            try ElectionSettings(lease: 15_000, renewDeadline: 10_000, retryPeriod: 0, requestTimeout: 4_000)
        }
    }
}
