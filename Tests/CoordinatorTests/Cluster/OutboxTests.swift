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
