/// A growing run of bytes with one owner: what encoders write into.
///
/// The storage outlives records: ``removeAll()`` keeps the capacity, so that after warm-up a record
/// costs no allocation. ``seal()`` gives the bytes away without copying them.
///
/// Promises:
/// 1. Bytes once written are not moved within the buffer, only with it.
/// 2. A write past the capacity grows the storage; nothing is ever cut.
@safe public struct ByteWriter: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<UInt8>
    /// Bytes written so far.
    @inlinable public var count: Int { storedCount }
    @usableFromInline var storedCount: Int
    @usableFromInline var capacity: Int
    /// The storage of the scratch writer that was kept last.
    private var spare: UnsafeMutablePointer<UInt8>?
    private var spareCapacity = 0

    /// - Parameter capacity: bytes to reserve at once.
    public init(capacity: Int = 4096) {
        let wanted = max(capacity, 64)
        unsafe base = .allocate(capacity: wanted)
        self.capacity = wanted
        storedCount = 0
    }

    deinit {
        unsafe base.deallocate()
        unsafe spare?.deallocate()
    }

    /// A writer for text that must be put together before it can be written here. Given back with ``keep(_:)``, its
    /// storage serves the next one: after warm-up it costs no allocation.
    public mutating func takeScratch() -> ByteWriter { takeSpare() ?? ByteWriter() }

    /// The scratch writer that was kept last, if there is one.
    public mutating func takeSpare() -> ByteWriter? {
        guard let storage = unsafe spare else { return nil }
        unsafe spare = nil
        return unsafe ByteWriter(storage, capacity: spareCapacity)
    }

    /// Takes back the storage of a scratch writer; what was written there is forgotten.
    public mutating func keep(_ scratch: consuming ByteWriter) {
        unsafe spare?.deallocate()
        spareCapacity = scratch.capacity
        unsafe spare = scratch.surrender()
    }

    private init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        unsafe self.base = base
        self.capacity = capacity
        storedCount = 0
    }

    private consuming func surrender() -> UnsafeMutablePointer<UInt8> {
        let storage = unsafe base
        unsafe spare?.deallocate()
        discard self
        return unsafe storage
    }

    /// Bytes of the storage, written to or not.
    public var reserved: Int { capacity }

    /// Whether nothing was written yet.
    @inlinable public var isEmpty: Bool { storedCount == 0 }

    /// Makes room for `more` bytes, so that the writes that follow do not grow the storage.
    @inlinable public mutating func reserve(_ more: Int) {
        if storedCount + more > capacity { grow(more) }
    }

    @usableFromInline @inline(never) mutating func grow(_ more: Int) {
        let wanted = max(capacity * 2, storedCount + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        unsafe larger.update(from: base, count: storedCount)
        unsafe base.deallocate()
        unsafe base = larger
        capacity = wanted
    }

    /// Appends one byte.
    @inlinable public mutating func append(_ byte: UInt8) {
        reserve(1)
        unsafe base[storedCount] = byte
        storedCount &+= 1
    }

    /// Appends a literal; its bytes are known to the compiler, nothing is built.
    @inlinable public mutating func append(_ literal: StaticString) {
        let length = literal.utf8CodeUnitCount
        reserve(length)
        unsafe ByteCopy.copy(literal.utf8Start, to: base + storedCount, length)
        storedCount &+= length
    }

    /// Appends `bytes[range]`.
    @inlinable public mutating func append(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        let length = range.count
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        guard length > 0 else { return }
        reserve(length)
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe ByteCopy.copy(start + range.lowerBound, to: base + storedCount, length)
        }
        storedCount &+= length
    }

    /// Appends all of `bytes`.
    @inlinable public mutating func append(_ bytes: Span<UInt8>) {
        append(bytes, 0..<bytes.count)
    }

    /// Appends the UTF-8 of a string. Not for the data path: use ``append(_:)-(StaticString)`` or spans there.
    public mutating func append(string: String) {
        var copy = string
        copy.withUTF8 { source in
            guard let start = source.baseAddress else { return }
            reserve(source.count)
            unsafe (base + storedCount).update(from: start, count: source.count)
            storedCount += source.count
        }
    }

    /// Appends a decimal number without allocating.
    @inlinable public mutating func append(decimal value: UInt64) {
        reserve(20)
        var digits = 1
        var limit = value / 10
        while limit > 0 {
            digits &+= 1
            limit /= 10
        }
        var rest = value
        var at = storedCount &+ digits
        repeat {
            at &-= 1
            unsafe base[at] = UInt8(truncatingIfNeeded: 48 &+ rest % 10)
            rest /= 10
        } while rest > 0
        storedCount &+= digits
    }

    /// Replaces the byte at `index`, which was written before.
    @inlinable public mutating func replace(at index: Int, with byte: UInt8) {
        precondition(index >= 0 && index < storedCount)
        unsafe base[index] = byte
    }

    /// Forgets the last bytes, down to `length`: undoes the start of a record that turned out to be bad.
    @inlinable public mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= storedCount)
        storedCount = length
    }

    /// Forgets the bytes and keeps the storage.
    @inlinable public mutating func removeAll() { storedCount = 0 }

    /// What was written so far.
    @inlinable public var span: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            let view = unsafe Span(_unsafeStart: UnsafePointer(base), count: storedCount)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// Lets `body` write into `room` bytes past the end; it returns how many it wrote.
    @inlinable public mutating func append<E: Error>(
        room: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) throws(E) -> Int
    ) throws(E) {
        reserve(room)
        let written = unsafe try body(UnsafeMutableBufferPointer(start: base + storedCount, count: room))
        precondition(written >= 0 && written <= room)
        storedCount += written
    }

    /// Gives the bytes away, without a copy, to an owner that may be shared between threads.
    public consuming func seal() -> SealedBytes {
        let sealed = unsafe SealedBytes(taking: base, count: storedCount)
        unsafe spare?.deallocate()
        discard self
        return sealed
    }
}
