import ExportCore
import Model
import Protocol
import Testing

@Suite struct MembershipTests {
    private static func settings() -> Membership.Settings {
        Membership.Settings(leader: "c0", term: 5, versions: 2...3, shardCount: 16, targets: ["a", "b"])
    }

    private func hello(_ identity: String = "w0", boot: UInt64 = 1, _ change: (inout Hello) -> Void = { _ in }) -> Hello
    {
        var hello = Hello(
            versions: 1...2, identity: identity, boot: RecordKey(high: 0, low: boot), capacity: 4, windowBytes: 1,
            term: 4, targets: ["b", "a", "c"], claims: [])
        change(&hello)
        return hello
    }

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    private func enter(
        _ membership: inout Membership, _ session: UInt64, _ hello: Hello, name: String? = nil, now: UInt64 = 0
    ) -> [Membership.Effect] {
        membership.handle(.connected(SessionID(session), name: name), now: at(now))
            + membership.handle(.hello(SessionID(session), hello), now: at(now))
    }

    private func refusal(_ effects: [Membership.Effect]) -> PeerFault.Code? {
        for case .refuse(_, let fault) in effects { return fault.code }
        return nil
    }

    @Test func welcomeCarriesWhatBothNeed() {
        var membership = Membership(Self.settings())
        let effects = enter(&membership, 1, hello(), name: "w0")
        let welcome = Welcome(
            version: 2, term: 5, leader: "c0", leaseMilliseconds: 10_000, shardCount: 16, releaseMilliseconds: 5_000,
            targets: ["a", "b"], marginMilliseconds: 5_000)
        #expect(effects == [.welcome(SessionID(1), welcome), .joined(WorkerID(0), SessionID(1))])
        #expect(membership.worker(of: SessionID(1)) == WorkerID(0))
        #expect(membership.session(of: WorkerID(0)) == SessionID(1))
    }

    @Test func whoeverDoesNotFitIsToldWhy() {
        let cases: [(PeerFault.Code, (inout Hello) -> Void)] = [
            (.version, { $0.versions = 4...9 }),
            (.identity, { $0.identity = "" }),
            (.identity, { $0.identity = String(repeating: "x", count: 254) }),
            (.identity, { $0.identity = "w1" }),
            (.staleTerm, { $0.term = 6 }),
            (.targets, { $0.targets = ["a"] }),
            (
                .malformed,
                { $0.claims = Array(repeating: ShardClaim(term: 1, grant: ShardGrant(shard: 1, epoch: 1)), count: 17) }
            ),
        ]
        for (number, (code, change)) in cases.enumerated() {
            var membership = Membership(Self.settings())
            let effects = enter(&membership, UInt64(number), hello("w0", boot: 1, change), name: "w0")
            #expect(refusal(effects) == code, "case \(number)")
            #expect(membership.members.isEmpty && membership.nextDeadline == nil)
            #expect(effects.contains(.told(term: 6)) == (code == .staleTerm))
        }
    }

    /// A term that is far ahead is refused and not believed: the numbers would be used up.
    @Test(arguments: [5 + (1 << 20) + 1, 1 << 53, UInt64.max] as [UInt64])
    func aTermThatNobodyCanHaveReachedIsNotBelieved(term: UInt64) {
        var membership = Membership(Self.settings())
        let effects = enter(&membership, 1, hello("w0", boot: 1) { $0.term = term }, name: "w0")
        #expect(refusal(effects) == .staleTerm)
        #expect(!effects.contains(.told(term: term)))
        let nextTry = enter(&membership, 2, hello("w0", boot: 1) { $0.term = 5 + (1 << 20) }, name: "w0")
        #expect(nextTry.contains(.told(term: 5 + (1 << 20))))
    }

    /// Only of who may be here at all is it heard.
    @Test func aStrangersTermIsNotHeard() {
        var membership = Membership(Self.settings())
        let effects = enter(&membership, 1, hello("w1", boot: 1) { $0.term = 6 }, name: "w0")
        #expect(refusal(effects) == .identity)
        #expect(!effects.contains(.told(term: 6)))
    }

    @Test func deadOnlyWhenLostAndItsOwnLeaseAndTheMarginAreOver() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        #expect(
            membership.handle(.heartbeat(SessionID(1), term: 5, number: 1), now: at(4_000))
                == [.echo(SessionID(1), number: 1)])
        // Doubled or overtaken: no echo, no renewal.
        #expect(membership.handle(.heartbeat(SessionID(1), term: 5, number: 1), now: at(6_000)).isEmpty)
        #expect(membership.handle(.closed(SessionID(1)), now: at(7_000)) == [.lost(WorkerID(0))])
        #expect(membership.nextDeadline == at(19_000))
        #expect(membership.handle(.timer, now: at(18_999)).isEmpty)
        #expect(membership.handle(.timer, now: at(19_000)) == [.dead(WorkerID(0))])
        #expect(membership.member(WorkerID(0)) == nil)
        // Whoever comes back after its death is somebody new.
        #expect(enter(&membership, 2, hello(), now: 19_001).last == .joined(WorkerID(1), SessionID(2)))
    }

    @Test func silenceEndsTheSessionAndThenTheWorker() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        #expect(membership.nextDeadline == at(10_000))
        let silent = membership.handle(.timer, now: at(10_000))
        guard case .close(SessionID(1), _) = silent.first else { return #expect(Bool(false), "\(silent)") }
        #expect(silent.last == .lost(WorkerID(0)))
        #expect(membership.handle(.timer, now: at(15_000)) == [.dead(WorkerID(0))])
        // A leader that slept through it all does both at once.
        var late = Membership(Self.settings())
        _ = enter(&late, 1, hello())
        #expect(late.handle(.timer, now: at(60_000)).suffix(2) == [.lost(WorkerID(0)), .dead(WorkerID(0))])
    }

    @Test func sameProcessComesBackAtAnyTime() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        let effects = enter(&membership, 2, hello(), now: 100)
        guard case .close(SessionID(1), _) = effects.first else { return #expect(Bool(false), "\(effects)") }
        #expect(effects[1] == .lost(WorkerID(0)) && effects.last == .joined(WorkerID(0), SessionID(2)))
        // The old connection's end is no loss.
        #expect(membership.handle(.closed(SessionID(1)), now: at(200)).isEmpty)
    }

    @Test func anotherProcessOnlyWhenTheOldOnesSessionIsGone() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        #expect(refusal(enter(&membership, 2, hello(boot: 2), now: 100)) == .identity)
        _ = membership.handle(.closed(SessionID(1)), now: at(200))
        #expect(enter(&membership, 3, hello(boot: 2), now: 201).last == .joined(WorkerID(0), SessionID(3)))
        #expect(membership.member(WorkerID(0))?.boot.low == 2)
    }

    @Test func whoeverWasToldToGoStaysAwayUntilItsDeathUnlessItStartsAnew() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        let effects = membership.handle(.expel(WorkerID(0), reason: "slow"), now: at(100))
        #expect(effects == [.close(SessionID(1), PeerFault(code: .unexpected, message: "slow")), .lost(WorkerID(0))])
        #expect(refusal(enter(&membership, 2, hello(), now: 200)) == .unexpected)
        #expect(enter(&membership, 3, hello(boot: 2), now: 300).last == .joined(WorkerID(0), SessionID(3)))
    }

    @Test func strangersAndWorkersAreBounded() {
        var settings = Self.settings()
        settings.maxStrangers = 2
        settings.maxWorkers = 1
        var membership = Membership(settings)
        #expect(membership.handle(.connected(SessionID(1), name: nil), now: at(0)).isEmpty)
        #expect(membership.handle(.connected(SessionID(2), name: nil), now: at(1)).isEmpty)
        #expect(refusal(membership.handle(.connected(SessionID(3), name: nil), now: at(2))) == .overloaded)
        #expect(refusal(membership.handle(.hello(SessionID(1), hello("w1")), now: at(3))) == nil)
        #expect(refusal(membership.handle(.hello(SessionID(2), hello("w2")), now: at(4))) == .overloaded)
        _ = membership.handle(.connected(SessionID(4), name: nil), now: at(5))
        #expect(membership.nextDeadline == at(5_005))
        #expect(refusal(membership.handle(.timer, now: at(5_005))) == .unexpected)
    }

    @Test func saidOutOfTurn() {
        var membership = Membership(Self.settings())
        _ = membership.handle(.connected(SessionID(1), name: nil), now: at(0))
        #expect(refusal(membership.handle(.heartbeat(SessionID(1), term: 5, number: 1), now: at(1))) == .unexpected)
        #expect(membership.handle(.hello(SessionID(1), hello()), now: at(2)).isEmpty)
        _ = enter(&membership, 2, hello())
        let twice = membership.handle(.hello(SessionID(2), hello()), now: at(3))
        #expect(twice.last == .lost(WorkerID(0)))
        _ = enter(&membership, 3, hello(), now: 4)
        let stale = membership.handle(.heartbeat(SessionID(3), term: 4, number: 1), now: at(5))
        #expect(stale.last == .lost(WorkerID(0)))
    }

    @Test func drainIsToldOnce() {
        var membership = Membership(Self.settings())
        _ = enter(&membership, 1, hello())
        #expect(membership.handle(.drain(SessionID(1)), now: at(1)) == [.draining(WorkerID(0))])
        #expect(membership.handle(.drain(SessionID(1)), now: at(2)).isEmpty)
        #expect(membership.handle(.drain(SessionID(9)), now: at(2)).isEmpty)
    }
}
