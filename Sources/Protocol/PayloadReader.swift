internal import Model

/// Takes fields off a payload, one after the other. Nothing is read past ``end``, and nothing allocated for a list or a
/// text that the payload is too short for.
struct PayloadReader: ~Escapable {
    private let bytes: Span<UInt8>
    /// Where the next field begins, from the start of the frame.
    private(set) var at: Int
    /// Where the payload ends; its checksum lies behind.
    private(set) var end: Int
    private let message: MessageType
    /// What ``bytes`` are all of, if they are shared.
    private let owner: SealedBytes?
    /// Put before the names of fields: `health[3].`.
    private var scope = Scope.message

    private enum Scope {
        case message
        case element(of: StaticString, Int)
    }

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: Range<Int>, of message: MessageType, in owner: SealedBytes?) {
        self.bytes = bytes
        self.owner = owner
        at = range.lowerBound
        end = range.upperBound
        self.message = message
    }

    /// Bytes that were not read yet.
    var remaining: Int { end - at }

    // MARK: Errors

    private func path(_ field: StaticString) -> String {
        switch scope {
        case .message: "\(field)"
        case .element(let list, let index): "\(list)[\(index)].\(field)"
        }
    }

    /// An error about `field`, which begins `back` bytes before the next one.
    @inline(never)
    func error(
        _ kind: ProtocolError.Kind, _ field: StaticString, back: Int = 0, expected: @autoclosure () -> String,
        found: @autoclosure () -> String
    ) -> ProtocolError {
        ProtocolError(kind, message.name, path(field), at: at - back, expected: expected(), found: found())
    }

    private func demand(_ count: Int, _ field: StaticString) throws(ProtocolError) {
        guard count <= remaining else {
            throw error(.truncated, field, expected: "\(count) bytes", found: "\(remaining)")
        }
    }

    // MARK: Fields

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _ field: StaticString, as _: T.Type = T.self
    ) throws(ProtocolError) -> T {
        try demand(T.bitWidth / 8, field)
        let position = at
        let value = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: position, as: T.self) }
        at += T.bitWidth / 8
        return T(bigEndian: value)
    }

    /// An integer inside `range`.
    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _ field: StaticString, in range: ClosedRange<T>
    ) throws(ProtocolError) -> T {
        let value: T = try integer(field)
        guard range.contains(value) else {
            throw error(
                .value, field, back: T.bitWidth / 8, expected: "\(range.lowerBound) to \(range.upperBound)",
                found: "\(value)")
        }
        return value
    }

    mutating func flag(_ field: StaticString) throws(ProtocolError) -> Bool {
        try integer(field, in: 0...UInt8(1)) == 1
    }

    /// A value of an enumeration.
    mutating func choice<E: RawRepresentable>(
        _ field: StaticString, as _: E.Type = E.self
    ) throws(ProtocolError) -> E where E.RawValue: FixedWidthInteger & BitwiseCopyable {
        let raw: E.RawValue = try integer(field)
        guard let value = E(rawValue: raw) else {
            throw error(.value, field, back: E.RawValue.bitWidth / 8, expected: "a known value", found: "\(raw)")
        }
        return value
    }

    /// A number that may be missing: a byte that says whether it is there, and eight that are zero if not.
    mutating func optional(_ field: StaticString) throws(ProtocolError) -> UInt64? {
        let isThere = try flag(field)
        let value: UInt64 = try integer(field)
        guard isThere || value == 0 else {
            throw error(.value, field, back: 8, expected: "0, as there is no value", found: "\(value)")
        }
        return isThere ? value : nil
    }

    mutating func key(_ field: StaticString) throws(ProtocolError) -> RecordKey {
        try demand(RecordColumns.key, field)
        return RecordKey(high: try integer(field), low: try integer(field))
    }

    /// A text of two bytes length and as many bytes of UTF-8.
    mutating func text(_ field: StaticString, _ bounds: ClosedRange<Int>) throws(ProtocolError) -> String {
        let count = Int(try integer(field, as: UInt16.self))
        guard bounds.contains(count) else {
            throw error(
                count > bounds.upperBound ? .tooLarge : .value, field, back: 2,
                expected: "\(bounds.lowerBound) to \(bounds.upperBound) bytes", found: "\(count)")
        }
        try demand(count, field)
        let part = bytes.extracting(at..<at + count)
        let text: UTF8Span
        do {
            text = try UTF8Span(validating: part)
        } catch {
            throw self.error(.text, field, expected: "UTF-8", found: "\(error)")
        }
        at += count
        return String(copying: text)
    }

    mutating func name(_ field: StaticString) throws(ProtocolError) -> String {
        try text(field, 1...ProtocolBounds.nameBytes)
    }

    mutating func reason(_ field: StaticString) throws(ProtocolError) -> String {
        try text(field, 0...ProtocolBounds.reasonBytes)
    }

    /// How many elements of at least `size` bytes follow: never more than there is room for.
    mutating func count<T: FixedWidthInteger & BitwiseCopyable>(
        _ field: StaticString, as _: T.Type, of size: Int, limit: Int = .max
    ) throws(ProtocolError) -> Int {
        let count = Int(try integer(field, as: T.self))
        let back = T.bitWidth / 8
        guard count <= limit else {
            throw error(.tooLarge, field, back: back, expected: "at most \(limit)", found: "\(count)")
        }
        guard count <= remaining / size else {
            throw error(
                .truncated, field, back: back, expected: "\(count) × \(size) bytes behind it", found: "\(remaining)")
        }
        return count
    }

    // MARK: Columns; their count was held against the payload before

    mutating func keys(_ count: Int, _ field: StaticString) throws(ProtocolError) -> [RecordKey] {
        try demand(count * RecordColumns.key, field)
        let start = at
        at += count * RecordColumns.key
        return unsafe bytes.withUnsafeBytes { raw in
            unsafe [RecordKey](unsafeUninitializedCapacity: count) { out, initialized in
                for index in 0..<count {
                    let position = start &+ index &* RecordColumns.key
                    let high = unsafe raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                    let low = unsafe raw.loadUnaligned(fromByteOffset: position &+ 8, as: UInt64.self)
                    let key = RecordKey(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low))
                    unsafe out.initializeElement(at: index, to: key)
                }
                initialized = count
            }
        }
    }

    mutating func grants(_ count: Int, _ field: StaticString) throws(ProtocolError) -> [ShardGrant] {
        try demand(count * RecordColumns.grant, field)
        let start = at
        at += count * RecordColumns.grant
        return unsafe bytes.withUnsafeBytes { raw in
            unsafe [ShardGrant](unsafeUninitializedCapacity: count) { out, initialized in
                for index in 0..<count {
                    let position = start &+ index &* RecordColumns.grant
                    let shard = unsafe raw.loadUnaligned(fromByteOffset: position, as: UInt16.self)
                    let epoch = unsafe raw.loadUnaligned(fromByteOffset: position &+ 2, as: UInt32.self)
                    let grant = ShardGrant(shard: UInt16(bigEndian: shard), epoch: UInt32(bigEndian: epoch))
                    unsafe out.initializeElement(at: index, to: grant)
                }
                initialized = count
            }
        }
    }

    mutating func lengths(_ count: Int, _ field: StaticString) throws(ProtocolError) -> [UInt32] {
        try demand(count * RecordColumns.length, field)
        let start = at
        at += count * RecordColumns.length
        return unsafe bytes.withUnsafeBytes { raw in
            unsafe [UInt32](unsafeUninitializedCapacity: count) { out, initialized in
                for index in 0..<count {
                    let length = unsafe raw.loadUnaligned(fromByteOffset: start &+ index &* 4, as: UInt32.self)
                    unsafe out.initializeElement(at: index, to: UInt32(bigEndian: length))
                }
                initialized = count
            }
        }
    }

    /// The next `count` bytes: a part of the frame if that is shared, else copied once.
    mutating func sealed(_ count: Int, _ field: StaticString) throws(ProtocolError) -> SealedBytes {
        try demand(count, field)
        if let owner {
            at += count
            return SealedBytes(owner, at - count..<at)
        }
        var copy = ByteWriter(capacity: count)
        copy.append(bytes, at..<at + count)
        at += count
        return copy.seal()
    }

    // MARK: Elements that may grow

    /// Reads element `index` of `list`, which is preceded by its size in two bytes; what `body` leaves of it is from a
    /// later version, and is passed over.
    mutating func element<Value>(
        _ index: Int, of list: StaticString, _ body: (inout PayloadReader) throws(ProtocolError) -> Value
    ) throws(ProtocolError) -> Value {
        scope = .element(of: list, index)
        let size = Int(try integer("size", as: UInt16.self))
        try demand(size, "size")
        let outer = end
        end = at + size
        let value = try body(&self)
        at = end
        end = outer
        scope = .message
        return value
    }
}
