internal import Model

/// Cuts a stream of bytes into frames: four bytes of length, most significant first, which count what follows them.
///
/// 1. A length past the limit is refused when its last byte is here, before anything is allocated for it.
/// 2. Memory for a frame grows with what has really arrived, to less than twice as much; a peer that announces much and
///    sends little costs little.
/// 3. What a frame holds is not looked at.
struct FrameDecoder: ~Copyable {
    /// A length that is not accepted.
    struct TooLong: Error, Equatable {
        /// As announced: without the length field itself.
        let length: Int
    }

    static let prefixBytes = 4

    private let maxFrameBytes: Int
    private var prefix: UInt32 = 0
    private var prefixCount = 0
    private var partial: ByteWriter?
    private var partialCapacity = 0
    private var wanted = 0

    /// - Parameter maxFrameBytes: longest frame, its length field included.
    init(maxFrameBytes: Int) { self.maxFrameBytes = maxFrameBytes }

    /// Whether no part of a frame is here.
    var isAtBoundary: Bool { prefixCount == 0 && wanted == 0 }

    /// What the decoder holds of the frame that has begun, bytes.
    var reservedBytes: Int { partialCapacity }

    /// Takes `bytes` and appends every frame that is complete with them, its length field included.
    mutating func feed(_ bytes: borrowing Span<UInt8>, into frames: inout [SealedBytes]) throws(TooLong) {
        var at = 0
        while at < bytes.count {
            if wanted == 0 {
                prefix = prefix << 8 | UInt32(bytes[at])
                prefixCount += 1
                at += 1
                guard prefixCount == Self.prefixBytes else { continue }
                try begin(arrived: bytes.count - at)
            }
            let have = partial?.count ?? 0
            let take = min(wanted - have, bytes.count - at)
            makeRoom(have + take)
            partial?.append(bytes.extracting(at..<at + take))
            at += take
            if have + take == wanted { finish(into: &frames) }
        }
    }

    private mutating func begin(arrived: Int) throws(TooLong) {
        let length = Int(prefix)
        guard length <= maxFrameBytes - Self.prefixBytes else { throw TooLong(length: length) }
        wanted = Self.prefixBytes + length
        partialCapacity = min(wanted, Self.prefixBytes + arrived)
        var start = ByteWriter(capacity: partialCapacity)
        for shift in [24, 16, 8, 0] as [UInt32] { start.append(UInt8(truncatingIfNeeded: prefix >> shift)) }
        partial = consume start
        prefix = 0
        prefixCount = 0
    }

    /// Doubles, but never past the end of the frame.
    private mutating func makeRoom(_ needed: Int) {
        guard needed > partialCapacity, let smaller = partial.take() else { return }
        partialCapacity = min(wanted, max(needed, partialCapacity * 2))
        var larger = ByteWriter(capacity: partialCapacity)
        larger.append(smaller.span)
        partial = consume larger
    }

    private mutating func finish(into frames: inout [SealedBytes]) {
        if let whole = partial.take() { frames.append(whole.seal()) }
        wanted = 0
        partialCapacity = 0
    }
}
