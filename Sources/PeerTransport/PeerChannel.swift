internal import Crypto
internal import Model
internal import NIOCore

/// What both sides do alike with a new channel.
enum PeerChannel {
    /// Fills the pipeline. On the channel's event loop.
    /// - Parameter outcome: is called once on the loop, unless this throws.
    static func configure(
        _ channel: any Channel, _ settings: PeerSettings, role: PeerRole, material: PeerCredentials.Material?,
        outcome: @escaping (Result<PeerConnection, PeerError>) -> Void
    ) throws {
        let link = PeerLink(settings)
        link.attach(channel)
        var tls: TLSHandler?
        if let material {
            let identity = material.identity
            let handler = try TLSHandler(
                peer: material.context, side: role == .coordinator ? .server : .client,
                handshakeLimit: .milliseconds(Int64(settings.handshakeTimeout)),
                admit: { identity.objection(to: $0) })
            try channel.pipeline.syncOperations.addHandler(handler)
            tls = handler
        }
        let handler = PeerHandler(link, settings, role: role, tls: tls) { result in
            outcome(result.map { PeerConnection($0, link, PeerExecutor(channel.eventLoop)) })
        }
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Sizes of single reads: 256 KiB at most, so that what a pause of reading comes too late for is bounded.
    static let receiveAllocator = AdaptiveRecvByteBufferAllocator(minimum: 2_048, initial: 16 << 10, maximum: 256 << 10)
}
