/// Bytes that nobody writes any more, at an address that does not change: request bodies, batches, chunks.
///
/// Shared by reference; the last owner frees them. C libraries may keep ``withUnsafeBytes(_:)``'s pointer
/// for as long as somebody holds the object.
@safe public final class SealedBytes: Sendable {
    // Written before the object exists and never again, so reading from any thread is safe.
    @usableFromInline nonisolated(unsafe) let base: UnsafeMutablePointer<UInt8>
    /// How many bytes.
    public let count: Int
    /// Whose bytes these are a part of; nil if they are its own.
    private let whole: SealedBytes?

    /// Takes over `base`, which must come from `allocate` and holds `count` initialized bytes.
    @unsafe init(taking base: UnsafeMutablePointer<UInt8>, count: Int) {
        unsafe self.base = base
        self.count = count
        whole = nil
    }

    /// A part of others, without a copy: they live as long as it does.
    public init(_ whole: SealedBytes, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= whole.count)
        unsafe base = whole.base + range.lowerBound
        count = range.count
        self.whole = whole.whole ?? whole
    }

    /// Copies an array.
    public init(_ bytes: [UInt8]) {
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe copy.update(from: start, count: source.count)
        }
        unsafe base = copy
        count = bytes.count
        whole = nil
    }

    deinit {
        if whole == nil { unsafe base.deallocate() }
    }

    /// The bytes.
    @inlinable public var span: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            let view = unsafe Span(_unsafeStart: UnsafePointer(base), count: count)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// Calls `body` with the bytes; the address stays valid while this object lives.
    @unsafe public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// A copy as an array, for what is not on the data path.
    public var array: [UInt8] {
        unsafe [UInt8](UnsafeBufferPointer(start: base, count: count))
    }
}
