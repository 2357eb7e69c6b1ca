import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

@Suite struct SessionLeaseTests {
    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    private func welcome(term: UInt64) -> Welcome {
        Welcome(
            version: 1, term: term, leader: "c", leaseMilliseconds: 1_000, shardCount: 8, releaseMilliseconds: 100,
            targets: [], marginMilliseconds: 500)
    }

    /// A lease whose first session is up since 20, its hello sent at 10.
    private func established(_ rng: inout PRNG, term: UInt64 = 3) -> SessionLease {
        let dial = CoordinatorDial(addresses: ["a:1", "b:1"], first: 0, now: at(0))
        var lease = SessionLease(dial: dial)
        #expect(lease.handle(.timer, now: at(0), rng: &rng) == [.dial(SessionID(1), address: "a:1")])
        #expect(lease.handle(.connected(SessionID(1)), now: at(10), rng: &rng) == [.hello(SessionID(1))])
        let effects = lease.handle(.welcome(SessionID(1), welcome(term: term)), now: at(20), rng: &rng)
        #expect(effects.first == .established(SessionID(1), welcome(term: term)))
        #expect(effects.last == .heartbeat(SessionID(1), term: term, number: 1))
        return lease
    }

    @Test func leaseRunsFromTheSendingOfWhatWasAnswered() {
        var rng = PRNG(seed: 1)
        var lease = established(&rng)
        #expect(lease.leaseEnd == at(1_010))
        #expect(lease.nextDeadline == at(270))
        #expect(
            lease.handle(.timer, now: at(270), rng: &rng) == [.heartbeat(SessionID(1), term: 3, number: 2)])
        _ = lease.handle(.echo(SessionID(1), term: 3, number: 2), now: at(490), rng: &rng)
        #expect(lease.leaseEnd == at(1_270))
        // Overtaken, unknown, of another term or session: no renewal.
        for (session, term, number) in [(1, 3, 1), (1, 3, 9), (1, 2, 2), (2, 3, 2)] as [(UInt64, UInt64, UInt64)] {
            _ = lease.handle(.echo(SessionID(session), term: term, number: number), now: at(500), rng: &rng)
        }
        #expect(lease.leaseEnd == at(1_270))
        #expect(!lease.isFenced(at: at(1_269)) && lease.isFenced(at: at(1_270)))
    }

    @Test func anUnfitWorkerLeavesAndDialsNobodyUntilItHasRecovered() {
        var rng = PRNG(seed: 1)
        var lease = established(&rng)
        let fault = PeerFault(code: .shutdown, message: "no room")
        #expect(
            lease.handle(.unfit(fault), now: at(300), rng: &rng) == [
                .close(SessionID(1), fault), .ended(SessionID(1)),
            ])
        #expect(lease.handle(.timer, now: at(90_000), rng: &rng).isEmpty && lease.nextDeadline == nil)
        #expect(
            lease.handle(.recovered, now: at(91_000), rng: &rng) == [.dial(SessionID(2), address: "b:1")])
    }

    @Test func withoutEchoForHalfTheLeaseTheNextCoordinatorIsTried() {
        var rng = PRNG(seed: 1)
        var lease = established(&rng)
        _ = lease.handle(.timer, now: at(270), rng: &rng)
        let effects = lease.handle(.timer, now: at(510), rng: &rng)
        guard case .close(SessionID(1), _) = effects.first else { return #expect(Bool(false), "\(effects)") }
        #expect(effects.dropFirst() == [.ended(SessionID(1)), .dial(SessionID(2), address: "b:1")])
        #expect(lease.isFenced(at: at(510)) && lease.session == nil)
        // What the first session granted lives by its lease, also through a second that confirms nothing.
        #expect(!lease.isFenced(grantsIn: SessionID(1), at: at(1_009)))
        _ = lease.handle(.connected(SessionID(2)), now: at(600), rng: &rng)
        _ = lease.handle(.welcome(SessionID(2), welcome(term: 4)), now: at(610), rng: &rng)
        #expect(lease.leaseEnd == at(1_600))
        _ = lease.handle(.closed(SessionID(2)), now: at(620), rng: &rng)
        #expect(lease.isFenced(grantsIn: SessionID(1), at: at(1_010)))
        #expect(!lease.isFenced(grantsIn: SessionID(2), at: at(1_599)))
    }

    @Test func leaderOfAnOlderTermIsLeft() {
        var rng = PRNG(seed: 1)
        var lease = established(&rng)
        _ = lease.handle(.closed(SessionID(1)), now: at(30), rng: &rng)
        _ = lease.handle(.connected(SessionID(2)), now: at(40), rng: &rng)
        let effects = lease.handle(.welcome(SessionID(2), welcome(term: 2)), now: at(50), rng: &rng)
        guard case .close(SessionID(2), let fault) = effects.first else { return #expect(Bool(false), "\(effects)") }
        #expect(fault.code == .staleTerm && lease.session == nil && lease.term == 3)
    }

    @Test func attemptsEndInTime() {
        var rng = PRNG(seed: 1)
        var lease = SessionLease(dial: CoordinatorDial(addresses: ["a:1", "b:1"], first: 1, now: at(0)))
        #expect(lease.handle(.timer, now: at(0), rng: &rng) == [.dial(SessionID(1), address: "b:1")])
        #expect(lease.nextDeadline == at(3_000))
        #expect(lease.handle(.timer, now: at(3_000), rng: &rng).last == .dial(SessionID(2), address: "a:1"))
        _ = lease.handle(.connected(SessionID(2)), now: at(3_010), rng: &rng)
        #expect(lease.nextDeadline == at(6_010))
        // A whole round failed, and took longer than its pause: the next begins.
        #expect(lease.handle(.timer, now: at(6_010), rng: &rng).last == .dial(SessionID(3), address: "b:1"))
        // This one fails at once: a pause.
        _ = lease.handle(.closed(SessionID(3)), now: at(6_010), rng: &rng)
        #expect(lease.handle(.closed(SessionID(4)), now: at(6_010), rng: &rng).last == .ended(SessionID(4)))
        let pause = lease.nextDeadline?.milliseconds(since: at(6_010)) ?? 0
        #expect((20...200).contains(pause))
        // What comes late from the old connection is nobody's.
        #expect(lease.handle(.welcome(SessionID(2), welcome(term: 9)), now: at(6_011), rng: &rng).isEmpty)
    }

    @Test func redirectIsFollowedAtOnce() {
        var rng = PRNG(seed: 1)
        var lease = SessionLease(dial: CoordinatorDial(addresses: ["a:1", "b:1"], first: 0, now: at(0)))
        _ = lease.handle(.timer, now: at(0), rng: &rng)
        _ = lease.handle(.connected(SessionID(1)), now: at(1), rng: &rng)
        let answer = NotLeader(term: 8, leader: "c", address: "c:1")
        #expect(
            lease.handle(.notLeader(SessionID(1), answer), now: at(2), rng: &rng)
                == [.ended(SessionID(1)), .dial(SessionID(2), address: "c:1")])
        #expect(lease.term == 8)
    }
}

@Suite struct CoordinatorDialTests {
    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    @Test func pausesGrowFromRoundToRoundAndEndWithASuccess() {
        var rng = PRNG(seed: 4)
        var dial = CoordinatorDial(addresses: ["a", "b", "c"], first: 4, now: at(0))
        var now = at(0)
        var longest: UInt64 = 0
        for round in 0..<12 {
            for name in ["b", "c", "a"] {
                #expect(dial.address(now: now) == name)
                dial.failed(now: now, rng: &rng)
            }
            let pause = dial.notBefore.milliseconds(since: now)
            let cap = min(3_000, UInt64(100) << UInt64(round))
            #expect((cap / 10...cap).contains(pause))
            longest = max(longest, pause)
            #expect(pause == 0 || dial.address(now: now) == nil)
            now = dial.notBefore
        }
        #expect(longest > 1_000)
        #expect(dial.address(now: now) == "b")
        dial.welcomed(now: now)
        // The one that worked is the first to be tried again.
        #expect(dial.address(now: now) == "b")
        dial.failed(now: now, rng: &rng)
        #expect(dial.address(now: now) == "c")
    }

    @Test func whatARoundTakesIsPartOfItsPause() {
        var rng = PRNG(seed: 4)
        var dial = CoordinatorDial(addresses: ["a", "b"], first: 0, now: at(0))
        for round in 0..<12 {
            let began = dial.notBefore
            #expect(dial.address(now: began) != nil)
            dial.failed(now: began, rng: &rng)
            // A standby keeps the worker for 2 s.
            let later = began.adding(milliseconds: 2_000)
            #expect(dial.address(now: began) != nil)
            dial.redirected(to: "", isOutdated: false, now: later, rng: &rng)
            let pause = dial.notBefore.milliseconds(since: later)
            #expect(pause <= (round < 5 ? 0 : 1_000), "\(round)")
        }
    }

    @Test func standbysThatNameOneAnotherAreNoLoop() {
        var rng = PRNG(seed: 4)
        var dial = CoordinatorDial(addresses: ["a", "b"], first: 0, now: at(0))
        var dialled: [String] = []
        while let address = dial.address(now: at(0)) {
            dialled.append(address)
            dial.redirected(to: address == "a" ? "b" : "a", isOutdated: false, now: at(0), rng: &rng)
        }
        #expect(dialled == ["a", "b", "a", "b", "b", "a", "b", "a"])
        #expect(dial.notBefore > at(0))
    }

    @Test(arguments: [("", false), ("a", false), ("b", true), (String(repeating: "x", count: 261), false)])
    func whatIsNoRedirect(address: String, isOutdated: Bool) {
        var rng = PRNG(seed: 4)
        var dial = CoordinatorDial(addresses: ["a", "c"], first: 0, now: at(0))
        _ = dial.address(now: at(0))
        dial.redirected(to: address, isOutdated: isOutdated, now: at(0), rng: &rng)
        #expect(dial.address(now: at(0)) == "c")
    }

    @Test func timingsThatContradictOneAnotherAreNamed() {
        #expect(ClusterTiming().problem == nil)
        for change in [
            { $0.workerLeaseMilliseconds = 3 }, { $0.marginMilliseconds = 0 }, { $0.releaseMilliseconds = 0 },
            { $0.debounceMilliseconds = 10_000 },
        ] as [(inout ClusterTiming) -> Void] {
            var timing = ClusterTiming()
            change(&timing)
            #expect(timing.problem != nil)
        }
    }
}
