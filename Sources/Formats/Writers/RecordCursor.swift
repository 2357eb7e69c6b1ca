internal import Model

/// Which bytes a copy of text must stop at, because they cannot be written as they are.
protocol StopSet {
    /// The lanes that hold such a byte; lanes are compared as signed, so that beyond ASCII is below zero.
    static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>>
}

extension StopSet {
    /// Whether `byte` is one of them.
    @inline(__always) static func stops(_ byte: UInt8) -> Bool {
        marks(SIMD16(repeating: Int8(bitPattern: byte)))[0]
    }
}

/// Writes one record into room that was made beforehand, sixteen bytes at a time.
///
/// Promises:
/// 1. Nothing is written outside the buffer. What does not fit sets ``overflowed``, and from then on nothing is
///    written at all: the caller starts the record anew with more room.
/// 2. Nothing is read outside the text.
@safe struct RecordCursor: ~Copyable, ~Escapable {
    /// What the record's ranges point into.
    let bytes: Span<UInt8>
    private let raw: RawSpan
    private let readable: Int
    // The buffer outlives the cursor: both live for one call of ByteWriter.append(room:), which lends the buffer.
    private let base: UnsafeMutablePointer<UInt8>
    /// Bytes written so far.
    private(set) var at = 0
    /// The last position a copy may start at: chunks are stored whole, so their length is kept free behind it.
    private var limit: Int
    /// For text that must be put together before it can be written; kept from record to record.
    private var spare: ByteWriter?

    private static let chunk = 16

    @_lifetime(copy bytes)
    init(
        _ bytes: Span<UInt8>, writing base: UnsafeMutablePointer<UInt8>, capacity: Int, spare: consuming ByteWriter?
    ) {
        self.spare = spare
        self.bytes = bytes
        raw = unsafe bytes.bytes
        readable = bytes.count
        unsafe self.base = base
        limit = capacity - Self.chunk
    }

    /// Whether the room was too small; what was written is worthless then.
    var overflowed: Bool { limit < 0 }

    @inline(__always) private mutating func fits(_ count: Int) -> Bool {
        if at &+ count <= limit { return true }
        limit = -1
        return false
    }

    /// The byte of the input at `index`, 0 past its end.
    @inline(__always) func peek(_ index: Int) -> UInt8 {
        index < bytes.count ? bytes[index] : 0
    }

    /// A writer for text that must be put together first; give it back with ``keep(_:)``.
    mutating func takeScratch() -> ByteWriter { spare.take() ?? ByteWriter() }

    /// Takes back a writer; what was written there is forgotten.
    mutating func keep(_ scratch: consuming ByteWriter) {
        scratch.removeAll()
        spare = consume scratch
    }

    /// What ``keep(_:)`` took back last.
    mutating func takeSpare() -> ByteWriter? { spare.take() }

    /// Forgets what was written from `mark` on.
    mutating func rewind(to mark: Int) {
        precondition(mark >= 0 && mark <= at)
        at = mark
    }

    /// The byte written at `index`.
    func written(_ index: Int) -> UInt8 {
        precondition(index >= 0 && index < at)
        return unsafe base[index]
    }
}

extension RecordCursor {
    /// Writes one byte.
    @inline(__always) mutating func byte(_ byte: UInt8) {
        guard fits(1) else { return }
        unsafe base[at] = byte
        at &+= 1
    }

    /// Writes text known when this was compiled.
    @inline(__always) mutating func literal(_ text: StaticString) {
        let count = text.utf8CodeUnitCount
        guard fits(count) else { return }
        unsafe (base + at).update(from: text.utf8Start, count: count)
        at &+= count
    }

    /// Writes text prepared for every record.
    @inline(__always) mutating func prepared(_ text: SealedBytes) {
        let count = text.count
        guard fits(count) else { return }
        let span = text.span
        unsafe span.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + at).update(from: start, count: count)
        }
        at &+= count
    }

    /// Writes the lowest `count` (up to 8) bytes of `word`, the lowest first.
    @inline(__always) mutating func packed(_ word: UInt64, count: Int) {
        guard fits(8) else { return }
        unsafe UnsafeMutableRawPointer(base + at).storeBytes(of: word.littleEndian, as: UInt64.self)
        at &+= count
    }

    /// Writes the first `count` bytes of `chunk`.
    @inline(__always) mutating func chunk(_ chunk: SIMD32<UInt8>, count: Int) {
        guard fits(32) else { return }
        unsafe UnsafeMutableRawPointer(base + at).storeBytes(of: chunk, as: SIMD32<UInt8>.self)
        at &+= count
    }

    /// Writes once more what was written at `range`.
    @inline(__always) mutating func again(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= at)
        guard fits(range.count) else { return }
        unsafe (base + at).update(from: base + range.lowerBound, count: range.count)
        at &+= range.count
    }

    /// Writes text `number` of `table`.
    @inline(__always) mutating func prepared(_ table: TextTable, _ number: Int) {
        let range = table.range(number)
        guard fits(range.count) else { return }
        let texts = unsafe table.bytes.span.bytes
        // Whole chunks: the table is padded at its end, as the buffer is.
        precondition(range.upperBound &+ Self.chunk <= texts.byteCount)
        var from = range.lowerBound
        var place = at
        while from < range.upperBound {
            let piece = unsafe texts.unsafeLoadUnaligned(fromUncheckedByteOffset: from, as: SIMD16<UInt8>.self)
            unsafe UnsafeMutableRawPointer(base + place).storeBytes(of: piece, as: SIMD16<UInt8>.self)
            from &+= Self.chunk
            place &+= Self.chunk
        }
        at &+= range.count
    }

    /// Writes a decimal number.
    mutating func decimal(_ value: UInt64) {
        guard fits(20) else { return }
        if value < 1000 {
            let number = UInt32(truncatingIfNeeded: value)
            let digits = number / 100 | (number / 10 % 10) << 8 | (number % 10) << 16 | 0x30_3030
            let zeros = value < 10 ? 2 : (value < 100 ? 1 : 0)
            return packed(UInt64(digits) >> UInt64(8 &* zeros), count: 3 &- zeros)
        }
        var rest = value
        var place = at &+ 20
        repeat {
            place &-= 1
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            unsafe base[place] = UInt8(truncatingIfNeeded: 0x30 &+ digit)
            rest = quotient
        } while rest > 0
        let count = at &+ 20 &- place
        unsafe (base + at).update(from: base + place, count: count)
        at &+= count
    }

    /// Writes `range` of the input as it is.
    @inline(__always) mutating func plain(_ range: Range<Int>) {
        let count = range.count
        precondition(range.lowerBound >= 0 && range.upperBound <= readable)
        guard fits(count) else { return }
        if count <= 4 &* Self.chunk, range.lowerBound &+ 4 &* Self.chunk <= readable {
            var done = 0
            while done < count {
                let piece = unsafe raw.unsafeLoadUnaligned(
                    fromUncheckedByteOffset: range.lowerBound &+ done, as: SIMD16<UInt8>.self)
                unsafe UnsafeMutableRawPointer(base + at + done).storeBytes(of: piece, as: SIMD16<UInt8>.self)
                done &+= Self.chunk
            }
        } else {
            unsafe bytes.withUnsafeBufferPointer { source in
                guard let start = source.baseAddress else { return }
                unsafe (base + at).update(from: start + range.lowerBound, count: count)
            }
        }
        at &+= count
    }

    /// Writes a part of text from elsewhere as it is.
    mutating func plain(_ text: Span<UInt8>, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= text.count)
        guard fits(range.count) else { return }
        unsafe text.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + at).update(from: start + range.lowerBound, count: range.count)
        }
        at &+= range.count
    }

    /// Where the next quote is, at most `end`.
    @inline(__always) func quote(_ start: Int, _ end: Int) -> Int {
        var from = start
        while from &+ Self.chunk <= readable, from < end {
            let piece = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: from, as: SIMD16<Int8>.self)
            let lane = Self.firstLane(piece .== .init(repeating: 0x22))
            if lane < Self.chunk { return min(from &+ lane, end) }
            from &+= Self.chunk
        }
        while from < end, bytes[from] != 0x22 { from &+= 1 }
        return min(from, end)
    }

    /// Copies `text` from `start` until a byte of `stops`, at most to `end`. Returns where it stopped; `end` if the room
    /// was too small.
    @inline(__always) mutating func copy<S: StopSet>(
        _ text: RawSpan, _ start: Int, _ end: Int, until stops: S.Type
    ) -> Int {
        precondition(start >= 0 && start <= end && end <= text.byteCount)
        guard fits(end &- start) else { return end }
        var from = start
        // Held in a register: a store through `base` may change any field of the cursor for all the compiler knows.
        var place = at
        while from < end {
            let step: Int
            let stop: Int
            if from &+ Self.chunk <= text.byteCount {
                let piece = unsafe text.unsafeLoadUnaligned(fromUncheckedByteOffset: from, as: SIMD16<Int8>.self)
                unsafe UnsafeMutableRawPointer(base + place).storeBytes(of: piece, as: SIMD16<Int8>.self)
                step = min(Self.chunk, end &- from)
                stop = Self.firstLane(S.marks(piece))
            } else {
                let byte = unsafe text.unsafeLoad(fromUncheckedByteOffset: from, as: UInt8.self)
                unsafe base[place] = byte
                step = 1
                stop = S.stops(byte) ? 0 : 1
            }
            if stop < step {
                at = place &+ stop
                return from &+ stop
            }
            place &+= step
            from &+= step
        }
        at = place
        return end
    }

    /// Writes `before`, the input from `start` to `end`, and `after`, if there is no byte of `stops` in between. Returns
    /// false if there is, or if the end of the input is too near; then nothing is written.
    @inline(__always) mutating func copy<S: StopSet>(
        after before: StaticString, _ start: Int, _ end: Int, without stops: S.Type, then after: UInt8
    ) -> Bool {
        let opening = before.utf8CodeUnitCount
        precondition(start >= 0 && start <= end && end <= readable)
        guard fits(opening &+ (end &- start) &+ 1) else { return true }
        unsafe (base + at).update(from: before.utf8Start, count: opening)
        var from = start
        let place = at &+ opening &- start
        while from &+ Self.chunk <= readable {
            let piece = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: from, as: SIMD16<Int8>.self)
            unsafe UnsafeMutableRawPointer(base + place + from).storeBytes(of: piece, as: SIMD16<Int8>.self)
            let stop = Self.firstLane(S.marks(piece))
            if end &- from <= Self.chunk {
                guard stop >= end &- from else { return false }
                // From lengths alone, so that what follows need not wait for the comparison.
                unsafe base[place + end] = after
                at = place &+ end &+ 1
                return true
            }
            guard stop == Self.chunk else { return false }
            from &+= Self.chunk
        }
        return false
    }

    /// The same with a string whose end is not known yet. Returns where its closing quote is, one of `stops`; nil if
    /// another one comes first, or none in front of `end`.
    @inline(__always) mutating func copy<S: StopSet>(
        after before: StaticString, upToQuoteFrom start: Int, _ end: Int, without stops: S.Type, then after: UInt8
    ) -> Int? {
        let opening = before.utf8CodeUnitCount
        precondition(start >= 0 && end <= readable)
        guard start < end else { return nil }
        guard fits(opening &+ (end &- start) &+ 1) else { return end }
        unsafe (base + at).update(from: before.utf8Start, count: opening)
        var from = start
        let place = at &+ opening &- start
        while from < end, from &+ Self.chunk <= readable {
            let piece = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: from, as: SIMD16<Int8>.self)
            unsafe UnsafeMutableRawPointer(base + place + from).storeBytes(of: piece, as: SIMD16<Int8>.self)
            let stop = Self.firstLane(S.marks(piece))
            from &+= stop
            guard stop == Self.chunk else {
                guard from < end, unsafe raw.unsafeLoad(fromUncheckedByteOffset: from, as: UInt8.self) == 0x22 else {
                    return nil
                }
                unsafe base[place + from] = after
                at = place &+ from &+ 1
                return from
            }
        }
        return nil
    }

    /// The number of the first lane that is set; 16 if none is.
    @inline(__always) private static func firstLane(_ mask: SIMDMask<SIMD16<Int8>>) -> Int {
        let halves = unsafe unsafeBitCast(mask, to: SIMD2<UInt64>.self)
        if halves[0] != 0 { return halves[0].littleEndian.trailingZeroBitCount >> 3 }
        // Sixty-four zeros at the end of no bits make it sixteen.
        return 8 &+ halves[1].littleEndian.trailingZeroBitCount >> 3
    }
}

extension ByteWriter {
    /// Lets `write` write one record; called again with more room as long as the room was too small.
    @inline(__always) mutating func record(
        of bytes: Span<UInt8>, estimate: Int, _ write: (inout RecordCursor) -> Void
    ) {
        let before = count
        var room = estimate
        var spare: ByteWriter? = takeSpare()
        while count == before {
            unsafe append(room: room) { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                var cursor = unsafe RecordCursor(bytes, writing: base, capacity: buffer.count, spare: spare.take())
                write(&cursor)
                spare = cursor.takeSpare()
                return cursor.overflowed ? 0 : cursor.at
            }
            room *= 4
        }
        if let spare = spare.take() { keep(spare) }
    }
}
