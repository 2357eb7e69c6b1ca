import Model
import Testing

@testable import PeerTransport

/// What a connection holds of frames that have arrived.
@Suite struct PeerLinkTests {
    /// Frames of records are large, and a receiver may take long for each: one that it has, nobody else keeps.
    @Test func whatWasReceivedIsNotKept() async throws {
        let link = PeerLink(PeerSettings())
        weak var taken: SealedBytes?
        weak var waiting: SealedBytes?
        do {
            let (first, second) = (frame(100, seed: 2), frame(100, seed: 3))
            (taken, waiting) = (first, second)
            #expect(!link.deliver([first, second], bytes: 208, partial: 0))
        }
        #expect(taken != nil && link.traffic.unreadBytes == 2 * (104 + OutboundLanes.overhead))
        #expect(try await link.receive()?.array == frame(100, seed: 2).array)
        #expect(taken == nil && waiting != nil && link.traffic.unreadBytes == 104 + OutboundLanes.overhead)
        #expect(try await link.receive()?.array == frame(100, seed: 3).array)
        #expect(waiting == nil && link.traffic.unreadBytes == 0)
    }

    /// However many wait when some are taken: each comes once, in order.
    @Test func framesComeOnceAndInOrder() async throws {
        let link = PeerLink(PeerSettings())
        var rng = PRNG(seed: 5)
        var (delivered, received): (UInt64, UInt64) = (0, 0)
        while received < 3_000 {
            let frames = (0..<rng.below(400)).map { frame(9, seed: delivered + $0 + 1) }
            _ = link.deliver(frames, bytes: frames.count * 13, partial: 0)
            delivered += UInt64(frames.count)
            for _ in 0..<min(rng.below(400), delivered - received) {
                received += 1
                #expect(try await link.receive()?.array == frame(9, seed: received).array)
            }
        }
        #expect(link.traffic.unreadBytes == Int(delivered - received) * (13 + OutboundLanes.overhead))
    }
}
