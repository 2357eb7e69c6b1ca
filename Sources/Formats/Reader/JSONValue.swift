/// Where one JSON value lies in the input, and what the one pass over it found out.
public struct JSONValue: Sendable, Equatable {
    /// The type of a value.
    public enum Kind: UInt8, Sendable {
        /// Not in the input.
        case absent
        /// `"…"`; the range excludes the quotes.
        case string
        /// A number, as written.
        case number
        /// `{…}`, with the braces.
        case object
        /// `[…]`, with the brackets.
        case array
        /// `true` or `false`.
        case bool
        /// `null`.
        case null
    }

    @usableFromInline var start: UInt32
    @usableFromInline var stop: UInt32
    /// The type.
    public var kind: Kind
    /// The bytes are in the canonical spelling already (no white space between tokens, no escape that has a
    /// shorter spelling, keys in ascending order), so writers copy them in one piece.
    public var isCanonical: Bool
    /// A string, or a key within, has escapes: it must be decoded before a text format may use it.
    public var hasEscapes: Bool
    /// An object whose keys came in ascending order of their bytes and free of escapes.
    public var isSorted: Bool

    /// What a missing value looks like.
    public static var absent: JSONValue {
        // All zeros: a record's fields are made so by filling their memory.
        JSONValue(start: 0, stop: 0, kind: .absent, isCanonical: false, hasEscapes: false, isSorted: false)
    }

    @usableFromInline init(
        start: UInt32, stop: UInt32, kind: Kind, isCanonical: Bool, hasEscapes: Bool, isSorted: Bool
    ) {
        self.start = start
        self.stop = stop
        self.kind = kind
        self.isCanonical = isCanonical
        self.hasEscapes = hasEscapes
        self.isSorted = isSorted
    }

    /// The bytes, as positions in the input that was read.
    @inlinable public var range: Range<Int> {
        unsafe Range(uncheckedBounds: (Int(start), Int(stop)))
    }

    /// Bytes between start and end.
    @inlinable public var count: Int { Int(stop) - Int(start) }
    /// Whether the value is there and not `null`: the API server treats the two alike for optional fields.
    @inlinable @inline(__always) public var isPresent: Bool { kind != .absent && kind != .null }
}

/// One key and its value, kept because no field of ours has that name.
public struct JSONMember: Sendable, Equatable {
    /// The object it stands in.
    public var parent: Parent
    /// The key, without quotes.
    public var key: JSONValue
    /// The value.
    public var value: JSONValue

    /// The objects of a probe result that may carry fields we do not know.
    public enum Parent: UInt8, Sendable {
        /// The resource itself.
        case root
        /// `metadata`.
        case metadata
        /// `spec`.
        case spec
        /// `spec.probe`.
        case probe
        /// `spec.result`.
        case result
        /// `spec.execution`.
        case execution

        /// Where the object lies in the resource.
        var path: String {
            switch self {
            case .root: "record"
            case .metadata: Field.metadata.path
            case .spec: Field.spec.path
            case .probe: Field.probe.path
            case .result: Field.result.path
            case .execution: Field.execution.path
            }
        }
    }
}
