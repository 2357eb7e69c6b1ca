internal import CISAL
public import Model

/// gzip (RFC 1952) by ISA-L.
///
/// Promises:
/// 1. The same bytes give the same compressed bytes: level 1, no name, no time, operating system 255.
/// 2. Decompressing takes any number of members, checks each one's CRC-32 and length, and refuses
///    everything else behind them.
/// 3. Decompressing never holds more than the caller's limit, whatever the input claims.
public enum Gzip {
    /// Compresses `bytes` into one member, with a state of its own. For single documents; the data path
    /// keeps a ``Compressor``.
    /// - Throws: ``CompressionError``, only without memory or from 4 GiB on.
    public static func compress(_ bytes: borrowing Span<UInt8>) throws(CompressionError) -> SealedBytes {
        var compressor = try Compressor()
        return try compressor.compress(bytes)
    }

    /// Decompresses all members of `bytes`.
    /// - Parameter limit: most bytes that the result may have.
    /// - Throws: ``CompressionError``: damaged, truncated or over the limit.
    public static func decompress(
        _ bytes: borrowing Span<UInt8>, limit: Int
    ) throws(CompressionError) -> [UInt8] {
        var decompressor = try Decompressor()
        return try decompressor.decompress(bytes, limit: limit)
    }

    /// The whole members that `bytes` begin with, each with its content and where it ends; what follows the last of them
    /// is part of a member or damaged.
    /// - Parameter limit: most bytes that all contents together may have.
    /// - Throws: ``CompressionError``: over the limit, or without memory.
    public static func members(
        of bytes: borrowing Span<UInt8>, limit: Int
    ) throws(CompressionError) -> [(content: [UInt8], end: Int)] {
        var decompressor = try Decompressor()
        return try decompressor.members(of: bytes, limit: limit)
    }

    /// A reusable compressor: state and level buffer, about 350 kB, are allocated once.
    @safe public struct Compressor: ~Copyable {
        private let stream: OpaquePointer

        /// Allocates the state.
        /// - Throws: ``CompressionError/Kind/outOfMemory``.
        public init() throws(CompressionError) {
            guard let stream = unsafe sidereal_deflate_new() else { throw CompressionError(.outOfMemory) }
            unsafe self.stream = stream
        }

        deinit {
            unsafe sidereal_deflate_free(stream)
        }

        /// Compresses `bytes` into one member.
        /// - Parameter expecting: bytes that the result will probably have; by default a sixth of the input.
        ///   Too small a guess costs a copy, never the result.
        /// - Throws: ``CompressionError``, only from 4 GiB on.
        public mutating func compress(
            _ bytes: borrowing Span<UInt8>, expecting: Int? = nil
        ) throws(CompressionError) -> SealedBytes {
            guard let length = UInt32(exactly: bytes.count) else { throw CompressionError(.inputTooLong) }
            let step = max(expecting ?? bytes.count / 6, 1024)
            var output = ByteWriter(capacity: step)
            let failure: CompressionError? = unsafe bytes.withUnsafeBufferPointer { source in
                unsafe sidereal_deflate_begin(stream, source.baseAddress, length)
                return unsafe Self.run(stream, into: &output, step: step)
            }
            if let failure { throw failure }
            return output.seal()
        }

        private static func run(
            _ stream: OpaquePointer, into output: inout ByteWriter, step: Int
        ) -> CompressionError? {
            var finished: Int32 = 0
            var code: Int32 = 0
            while finished == 0 {
                // The writer doubles when it grows, so later rounds may use all that is there by then.
                let room = min(max(step, output.count), 1 << 30)
                let before = output.count
                unsafe output.append(room: room) { free in
                    var written: UInt32 = 0
                    code = unsafe sidereal_deflate_step(
                        stream, free.baseAddress, UInt32(free.count), &written, &finished)
                    return Int(written)
                }
                if code != 0 || (finished == 0 && output.count == before) {
                    return CompressionError(.deflate(code))
                }
            }
            return nil
        }
    }

    /// A reusable decompressor: its state of about 90 kB and its window are allocated once.
    @safe public struct Decompressor: ~Copyable {
        private static let pieceBytes = 256 << 10
        private let stream: OpaquePointer
        private let piece: UnsafeMutablePointer<UInt8>

        /// Allocates the state.
        /// - Throws: ``CompressionError/Kind/outOfMemory``.
        public init() throws(CompressionError) {
            guard let stream = unsafe sidereal_inflate_new() else { throw CompressionError(.outOfMemory) }
            unsafe self.stream = stream
            unsafe piece = .allocate(capacity: Self.pieceBytes)
        }

        deinit {
            unsafe sidereal_inflate_free(stream)
            unsafe piece.deallocate()
        }

        /// Decompresses all members of `bytes`.
        /// - Parameter limit: most bytes that the result may have.
        /// - Throws: ``CompressionError``: damaged, truncated or over the limit.
        public mutating func decompress(
            _ bytes: borrowing Span<UInt8>, limit: Int
        ) throws(CompressionError) -> [UInt8] {
            var output: [UInt8] = []
            try forEachPiece(of: bytes, limit: limit) { piece in
                unsafe piece.withUnsafeBufferPointer { unsafe output.append(contentsOf: $0) }
            }
            return output
        }

        /// Decompresses all members of `bytes` in constant memory: gives `body` one piece after another, each
        /// of at most 256 KiB. What `body` saw is only known to be undamaged when this returns.
        /// - Parameter limit: most bytes that all pieces together may have.
        /// - Throws: ``CompressionError``: damaged, truncated or over the limit.
        public mutating func forEachPiece(
            of bytes: borrowing Span<UInt8>, limit: Int, _ body: (borrowing Span<UInt8>) -> Void
        ) throws(CompressionError) {
            guard let length = UInt32(exactly: bytes.count) else { throw CompressionError(.inputTooLong) }
            let failure: CompressionError? = unsafe bytes.withUnsafeBufferPointer { source in
                unsafe sidereal_inflate_begin(stream, source.baseAddress, length)
                return run(limit: limit, body)
            }
            if let failure { throw failure }
        }

        /// As ``Gzip/members(of:limit:)``.
        mutating func members(
            of bytes: borrowing Span<UInt8>, limit: Int
        ) throws(CompressionError) -> [(content: [UInt8], end: Int)] {
            var found: [(content: [UInt8], end: Int)] = []
            var (at, total) = (0, 0)
            while at < bytes.count {
                let rest = bytes.extracting(at..<bytes.count)
                guard let length = UInt32(exactly: rest.count) else { throw CompressionError(.inputTooLong) }
                var content: [UInt8] = []
                let (failure, left) = unsafe rest.withUnsafeBufferPointer { source in
                    unsafe sidereal_inflate_begin(stream, source.baseAddress, length)
                    return oneMember(limit: limit - total, into: &content)
                }
                if let failure {
                    if case .overLimit = failure.kind { throw CompressionError(.overLimit(limit)) }
                    return found
                }
                at = bytes.count - left
                total += content.count
                found.append((content, at))
            }
            return found
        }

        /// One member's content, and how many bytes lie behind it.
        private func oneMember(limit: Int, into content: inout [UInt8]) -> (failure: CompressionError?, left: Int) {
            let room = UInt32(Self.pieceBytes)
            while true {
                var finished: Int32 = 0
                var written: UInt32 = 0
                var left: UInt32 = 0
                let code = unsafe sidereal_inflate_step(stream, piece, room, &written, &left, &finished)
                if code < 0 { return (CompressionError(.damaged(code)), 0) }
                unsafe content.append(contentsOf: UnsafeBufferPointer(start: piece, count: Int(written)))
                if content.count > limit { return (CompressionError(.overLimit(limit)), 0) }
                if finished != 0 { return (nil, Int(left)) }
                if written < room { return (CompressionError(.truncated), 0) }
            }
        }

        private func run(limit: Int, _ body: (borrowing Span<UInt8>) -> Void) -> CompressionError? {
            let room = UInt32(Self.pieceBytes)
            var total = 0
            var left = UInt32.max
            while true {
                let leftBefore = left
                var finished: Int32 = 0
                var written: UInt32 = 0
                let code = unsafe sidereal_inflate_step(stream, piece, room, &written, &left, &finished)
                // Positive codes say which side ran out, which the counts below say too.
                if code < 0 { return CompressionError(.damaged(code)) }
                total += Int(written)
                if total > limit { return CompressionError(.overLimit(limit)) }
                if written > 0 { body(unsafe Span(_unsafeStart: UnsafePointer(piece), count: Int(written))) }
                if finished != 0 {
                    if left == 0 { return nil }
                    unsafe sidereal_inflate_next_member(stream)
                } else if left == 0, written < room {
                    return CompressionError(.truncated)
                } else if left == leftBefore, written == 0 {
                    return CompressionError(.damaged(code))
                }
            }
        }
    }
}
