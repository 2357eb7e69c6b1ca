/// The versions that a build speaks. What may change with a version and what may not: PROTOCOL.md, "Versions".
public struct ProtocolRelease: Sendable, Equatable {
    /// Lowest and highest.
    public let versions: ClosedRange<UInt8>

    /// This build's.
    public static let current = ProtocolRelease(versions: 1...1)

    /// A build of the future, for simulations of rolling updates: speaks versions 1 and 2, adds a field to every message,
    /// which version 2 demands, and has a message more (``FrameCodec/encodeSkippable(into:)``).
    @_spi(NextRelease) public static let next = ProtocolRelease(versions: 1...2)

    /// The version to speak with a peer that speaks `theirs`: the highest that both do; nil if there is none.
    public func common(with theirs: ClosedRange<UInt8>) -> UInt8? {
        guard versions.overlaps(theirs) else { return nil }
        return min(versions.upperBound, theirs.upperBound)
    }

    /// Whether it adds what no released version has.
    var isNext: Bool { versions.upperBound > ProtocolRelease.current.versions.upperBound }
}

/// What ``ProtocolRelease/next`` adds.
enum NextRelease {
    /// The field behind the last one of every message.
    static let trailer: UInt64 = 0x6E65_7874_2121_2121
    /// The type of its further message.
    static let skippableType: UInt8 = 0x7E
    /// From this version on the field must be there.
    static let version: UInt8 = 2
}
