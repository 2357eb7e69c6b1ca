import Model
import Protocol
import Testing

@testable import Coordinator

@Suite struct OutboxTests {
    private func records(_ bytes: Int) -> Message {
        .records(
            RecordsFrame(
                term: 1, targets: 1, keys: [RecordKey(high: 1, low: 2)], grants: [ShardGrant(shard: 0, epoch: 1)],
                lengths: [UInt32(bytes)], bytes: SealedBytes([UInt8](repeating: 0x0A, count: bytes))))
    }

    @Test func whatWaitsIsBoundedAndRoomComesBack() async {
        let outbox = Outbox(limit: 10_000)
        #expect(outbox.put(records(6_000)))
        #expect(!outbox.put(records(6_000)))
        guard case .message = await outbox.next() else {
            Issue.record("nothing came out")
            return
        }
        #expect(outbox.put(records(6_000)))
        // A single message may be longer than the bound, or it could never be sent.
        let other = Outbox(limit: 10)
        #expect(other.put(records(6_000)))
    }

    /// Messages hold whole pages of results: those that were said must not.
    @Test func whatWasSaidIsNotKept() async {
        let outbox = Outbox(limit: 1 << 20)
        weak var said: SealedBytes?
        do {
            let bytes = SealedBytes([UInt8](repeating: 0x0A, count: 100))
            said = bytes
            let frame = RecordsFrame(
                term: 1, targets: 1, keys: [RecordKey(high: 1, low: 2)], grants: [ShardGrant(shard: 0, epoch: 1)],
                lengths: [100], bytes: bytes)
            #expect(outbox.put(.records(frame)))
        }
        #expect(outbox.put(.settled(term: 1, through: 1)))
        #expect(said != nil)
        _ = await outbox.next()
        #expect(said == nil)
    }

    @Test func messagesKeepTheirOrderAndTheLastWordDropsTheRest() async {
        let outbox = Outbox(limit: 1 << 20)
        for term in 1...200 as ClosedRange<UInt64> { #expect(outbox.put(.settled(term: term, through: 0))) }
        for term in 1...150 as ClosedRange<UInt64> {
            guard case .message(.settled(let found, _)) = await outbox.next() else {
                Issue.record("nothing came out")
                return
            }
            #expect(found == term)
        }
        outbox.finish(.drain(term: 9, reason: ""))
        #expect(outbox.put(.settled(term: 999, through: 0)))
        guard case .last(.drain) = await outbox.next(), case .ended = await outbox.next() else {
            Issue.record("the last word was not the last")
            return
        }
    }

    /// What is said at once overtakes nothing, and what cannot be said at once is kept.
    @Test func whatNothingWaitsInFrontOfIsPassed() async {
        func term(_ message: Message) -> UInt64 {
            if case .settled(let term, _) = message { term } else { 0 }
        }
        let outbox = Outbox(limit: 1 << 20)
        var passed: [UInt64] = []
        func put(_ number: UInt64, isSaid: Bool = true) -> Bool {
            outbox.put(.settled(term: number, through: 0)) { message in
                if isSaid { passed.append(term(message)) }
                return isSaid
            }
        }
        #expect(put(1))
        #expect(put(2, isSaid: false))
        #expect(put(3))
        #expect(passed == [1])
        for expected in [2, 3] as [UInt64] {
            guard case .message(let message) = await outbox.next(), term(message) == expected else {
                Issue.record("\(expected) did not come out")
                return
            }
            // The task still says that one.
            if expected == 3 { #expect(put(4)) }
        }
        guard passed == [1], case .message(let message) = await outbox.next(), term(message) == 4 else {
            Issue.record("4 did not come out")
            return
        }
        // The end may come while something is being said: it waits for that, and is the last word.
        let other = Outbox(limit: 1 << 20)
        let isTaken = other.put(.settled(term: 1, through: 0)) { _ in
            other.finish(.drain(term: 9, reason: ""))
            return false
        }
        guard isTaken, case .last(.drain) = await other.next(), case .ended = await other.next() else {
            Issue.record("the last word was not the last")
            return
        }
    }

    @Test func whoeverWaitsIsWoken() async {
        let outbox = Outbox(limit: 1 << 20)
        async let first = outbox.next()
        #expect(outbox.put(.settled(term: 1, through: 0)))
        guard case .message = await first else {
            Issue.record("nothing came out")
            return
        }
        async let second = outbox.next()
        outbox.end()
        guard case .ended = await second else {
            Issue.record("it did not end")
            return
        }
    }
}
