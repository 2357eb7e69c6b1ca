internal import Model
internal import Protocol

/// Cuts a stream of bytes into frames, by their length fields alone (PROTOCOL.md, "Frames").
///
/// 1. A length past the limit is refused when its last byte is here, before anything is allocated for it.
/// 2. Memory for a frame grows with what has really arrived, to less than twice as much, to 16 KiB, or to as much as an
///    earlier frame took that came whole; a peer that announces much and sends little costs little.
/// 3. What a frame holds is not looked at.
struct FrameCutter: ~Copyable {
    /// A length that is not accepted.
    struct TooLong: Error, Equatable {
        /// As announced: without the length field itself.
        let length: Int
        let limit: Int
    }

    /// Highest value of the length field of all frames but the first.
    private let maxLength: Int
    /// The same of the frame to come.
    private var limit: Int
    private var prefix: UInt32 = 0
    private var prefixCount = 0
    private var partial: ByteWriter?
    private var partialCapacity = 0
    /// Bytes of the longest frame so far.
    private var longest = 0
    private var wanted = 0

    /// - Parameters:
    ///   - firstLength: highest value of the length field of the first frame, by which the peer introduces itself.
    ///   - maxLength: of all others.
    init(firstLength: Int, maxLength: Int) {
        self.maxLength = maxLength
        limit = min(firstLength, maxLength)
    }

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
                guard prefixCount == Frame.lengthBytes else { continue }
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

    /// Has `fill` write what comes next to where it belongs, and appends the frame if it is complete with that: a frame
    /// that is read so lies where it stays.
    ///
    /// - Parameter fill: writes to the beginning of the memory it is given, and says how many bytes; 0 if none are here.
    /// - Returns: how many it wrote.
    @unsafe mutating func take(
        into frames: inout [SealedBytes], _ fill: (UnsafeMutableRawBufferPointer) -> Int
    ) throws(TooLong) -> Int {
        guard wanted > 0 else {
            var bytes: UInt32 = 0
            let count = unsafe withUnsafeMutableBytes(of: &bytes) { memory in
                unsafe fill(UnsafeMutableRawBufferPointer(rebasing: memory[..<(Frame.lengthBytes - prefixCount)]))
            }
            for index in 0..<count { prefix = prefix << 8 | (bytes.bigEndian >> UInt32(24 - 8 * index)) & 0xFF }
            prefixCount += count
            if prefixCount == Frame.lengthBytes { try begin(arrived: Self.leastBytes) }
            if wanted == Frame.lengthBytes { finish(into: &frames) }
            return count
        }
        let have = partial?.count ?? 0
        makeRoom(have + 1)
        let room = partialCapacity - have
        unsafe partial?.append(room: room) { free in unsafe fill(UnsafeMutableRawBufferPointer(free)) }
        let count = (partial?.count ?? 0) - have
        if have + count == wanted { finish(into: &frames) }
        return count
    }

    /// A record of TLS: what is asked for at once when it is not known how much is here.
    private static let leastBytes = 16 << 10

    private mutating func begin(arrived: Int) throws(TooLong) {
        let length = Int(prefix)
        guard length <= limit else { throw TooLong(length: length, limit: limit) }
        wanted = Frame.lengthBytes + length
        partialCapacity = min(wanted, max(Frame.lengthBytes + arrived, longest))
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
        limit = maxLength
        longest = max(longest, wanted)
        wanted = 0
        partialCapacity = 0
    }
}
