public import Model

/// Both directions of one connection: an encoder and a decoder that agree on the session's version.
public struct FrameCodec: Sendable {
    private var encoder: FrameEncoder
    private var decoder: FrameDecoder

    /// For a new connection.
    public init(release: ProtocolRelease = .current) {
        encoder = FrameEncoder(release: release)
        decoder = FrameDecoder(release: release)
    }

    /// The session's version, once `welcome` was written or read.
    public var version: UInt8? { encoder.version }

    /// Highest length field that is taken now: see ``Frame/size(_:limit:)``.
    public var maxLength: Int { version == nil ? Frame.maxHandshakeLength : Frame.maxLength }

    /// Appends `message` as one frame: ``FrameEncoder/encode(_:into:)``.
    public mutating func encode(_ message: Message, into out: inout ByteWriter) throws(ProtocolError) {
        try encoder.encode(message, into: &out)
        decoder.version = encoder.version
    }

    /// The message of one whole frame, nil if it is to be skipped: ``FrameDecoder/decode(_:)-(Span<UInt8>)``.
    public mutating func decode(_ frame: Span<UInt8>) throws(ProtocolError) -> Message? {
        let message = try decoder.decode(frame)
        encoder.version = decoder.version
        return message
    }

    /// The same for shared bytes: ``FrameDecoder/decode(_:)-(SealedBytes)``.
    public mutating func decode(_ frame: SealedBytes) throws(ProtocolError) -> Message? {
        let message = try decoder.decode(frame)
        encoder.version = decoder.version
        return message
    }

    /// ``FrameEncoder/encodeSkippable(into:)``.
    @_spi(NextRelease) public func encodeSkippable(into out: inout ByteWriter) { encoder.encodeSkippable(into: &out) }
}
