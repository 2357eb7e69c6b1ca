public import Formats
import Glibc
public import Model
public import Protocol

/// What `spec.audit.exportStatus` of an object says.
public enum ExportState: UInt8, Sendable {
    /// `Pending`, or nothing, which is what the resource's definition puts there.
    case pending
    /// `Exported`.
    case exported
    /// `Failed`.
    case failed
    /// Something else.
    case other
}

/// What a watch says of an object.
public enum ObjectChange: UInt8, Sendable {
    /// From a list: it is there.
    case listed
    /// It has come into being, or into what the selector matches.
    case added
    /// It was changed.
    case modified
    /// It is gone, or matches the selector no more: then it shows its last state that did.
    case deleted
}

/// One object of an ``ObjectBatch``. Ranges are positions in the batch's bytes.
public struct ObjectEntry: Sendable, Equatable {
    /// The object's JSON, without a line break.
    public var record: Range<Int>
    /// The 16 bytes of `metadata.uid`.
    public var key: RecordKey
    /// `metadata.name`: a name of RFC 1123, so it may stand in a path.
    public var name: Range<Int>
    /// `metadata.namespace`; empty for objects of the whole cluster.
    public var namespace: Range<Int>
    /// `metadata.resourceVersion`.
    public var resourceVersion: Range<Int>
    /// The same as a number, which grows with every write of any object of the store; 0 if it is none. For comparing two states
    /// of one object (all of Kubernetes' own servers count etcd's revisions; since 1.35 that is a promise).
    public var revision: UInt64
    /// The annotation `export.sidereal.cloud/targets` as it is spelt, with escapes; empty if there is none, or none of this
    /// object: `export.sidereal.cloud/targets-of` has to be its uid. Whoever creates an object cannot know that, so nobody can
    /// create one, or copy one, that says of itself where it was delivered.
    public var targets: Range<Int>
    /// `metadata.creationTimestamp`, milliseconds since 1970; 0 if there is none that can be read.
    public var createdMilliseconds: Int64
    /// `spec.audit.exportStatus`.
    public var state: ExportState
    /// What a watch said of it.
    public var change: ObjectChange
}

/// An object that cannot be used, and why.
public struct ObjectRefusal: Sendable, Equatable, CustomStringConvertible {
    /// Which one, as far as can be told, what is wrong, and what to do.
    public let description: String
}

/// Objects in one piece of memory: each one's JSON on a line of its own, without `metadata.managedFields`.
public struct ObjectBatch: Sendable {
    /// The lines, each ended by a line feed.
    public let bytes: SealedBytes
    /// The objects, in the order they came.
    public let entries: [ObjectEntry]
    /// Objects that were left out; at most ``maxRefusals`` are told of.
    public let refusals: [ObjectRefusal]
    /// How many were left out.
    public let refused: Int

    /// Reads one object, as `get`, `create` and `patch` answer; it has one entry, or says why not.
    public init(object: [UInt8]) throws(APIObjectFault) {
        let bytes = object.span
        var cutter = ObjectCutter(capacity: object.count + 1)
        cutter.add(try APIObjectScan.object(bytes, 0..<object.count), bytes, .listed)
        self = cutter.finish()
    }

    fileprivate init(bytes: SealedBytes, entries: [ObjectEntry], refusals: [ObjectRefusal], refused: Int) {
        self.bytes = bytes
        self.entries = entries
        self.refusals = refusals
        self.refused = refused
    }

    /// Bound of ``refusals``.
    public static let maxRefusals = 16

    /// `metadata.name`.
    public func name(_ entry: ObjectEntry) -> String { text(entry.name) }
    /// `metadata.namespace`.
    public func namespace(_ entry: ObjectEntry) -> String { text(entry.namespace) }
    /// `metadata.resourceVersion`.
    public func resourceVersion(_ entry: ObjectEntry) -> String { text(entry.resourceVersion) }

    /// The object's JSON, without a copy: the batch's bytes live as long as it does.
    public func record(_ entry: ObjectEntry) -> SealedBytes { SealedBytes(bytes, entry.record) }

    /// The object's JSON, for what is not on the data path.
    public func json(_ entry: ObjectEntry) -> [UInt8] { record(entry).array }

    /// What the annotation `export.sidereal.cloud/targets` says, decoded; nil if there is none of this object.
    public func targets(_ entry: ObjectEntry) -> [UInt8]? {
        guard !entry.targets.isEmpty else { return nil }
        // The text was checked when it was cut out, with the quotes around it.
        let quoted = entry.targets.lowerBound - 1..<entry.targets.upperBound + 1
        return JSONAnswer.string(bytes.span, quoted)
    }

    private func text(_ range: Range<Int>) -> String {
        let span = bytes.span
        return unsafe String(unsafeUninitializedCapacity: range.count) { room in
            for index in 0..<range.count { unsafe room[index] = span[range.lowerBound + index] }
            return range.count
        }
    }
}

/// Puts objects that were scanned into one piece of memory.
struct ObjectCutter: ~Copyable {
    /// Longest accepted object, bytes, without its bookkeeping. An etcd takes 1.5 MiB.
    static let maxObjectBytes = 3 << 20

    private var out: ByteWriter
    private var entries: [ObjectEntry] = []
    private var refusals: [ObjectRefusal] = []
    private var refused = 0

    init(capacity: Int) { out = ByteWriter(capacity: capacity) }

    /// Leaves out something that is no object that can be used.
    mutating func refuse(_ what: String) {
        refused += 1
        if refusals.count < ObjectBatch.maxRefusals { refusals.append(ObjectRefusal(description: what)) }
    }

    /// Takes one object in, or tells why not.
    mutating func add(_ fields: APIObjectFields, _ bytes: Span<UInt8>, _ change: ObjectChange) {
        let kept = fields.whole.count - fields.bookkeeping.count
        guard kept <= Self.maxObjectBytes else {
            refuse("\(shown(fields, bytes)) has \(kept) bytes; at most \(Self.maxObjectBytes) are carried")
            return
        }
        guard let key = UIDText.key(fields.uid, bytes) else {
            refuse("\(shown(fields, bytes)) has no metadata.uid that is a UUID")
            return
        }
        guard ObjectName.isName(fields.name, bytes), ObjectName.isNamespace(fields.namespace, bytes),
            ObjectName.isVersion(fields.resourceVersion, bytes)
        else {
            refuse("\(shown(fields, bytes)) has no usable metadata.name, namespace or resourceVersion")
            return
        }
        let start = out.count
        copy(fields, bytes)
        let record = start..<out.count
        out.append(0x0A)
        func moved(_ value: JSONValue) -> Range<Int> {
            guard value.kind == .string else { return record.lowerBound..<record.lowerBound }
            let isBehind = !fields.bookkeeping.isEmpty && value.range.lowerBound >= fields.bookkeeping.upperBound
            let shift = start - fields.whole.lowerBound - (isBehind ? fields.bookkeeping.count : 0)
            return value.range.lowerBound + shift..<value.range.upperBound + shift
        }
        entries.append(
            ObjectEntry(
                record: record, key: key, name: moved(fields.name), namespace: moved(fields.namespace),
                resourceVersion: moved(fields.resourceVersion), revision: Self.number(fields.resourceVersion, bytes),
                targets: UIDText.key(fields.targetsOf, bytes) == key ? moved(fields.targets) : moved(.absent),
                createdMilliseconds: Self.created(fields.creationTimestamp, bytes),
                state: Self.state(fields.exportStatus, bytes), change: change))
    }

    consuming func finish() -> ObjectBatch {
        let (entries, refusals, refused) = (entries, refusals, refused)
        return ObjectBatch(bytes: takeBytes(), entries: entries, refusals: refusals, refused: refused)
    }

    private consuming func takeBytes() -> SealedBytes { out.seal() }

    /// Between tokens a line break is as good as a space; inside of strings there is none (RFC 8259, section 7).
    private mutating func copy(_ fields: APIObjectFields, _ bytes: Span<UInt8>) {
        let start = out.count
        let cut = fields.bookkeeping
        if cut.isEmpty {
            out.append(bytes, fields.whole)
        } else {
            out.append(bytes, fields.whole.lowerBound..<cut.lowerBound)
            out.append(bytes, cut.upperBound..<fields.whole.upperBound)
        }
        guard Self.hasLineBreak(bytes, fields.whole) else { return }
        for index in start..<out.count {
            let byte = out.span[index]
            if byte == 0x0A || byte == 0x0D { out.replace(at: index, with: 0x20) }
        }
    }

    private static func hasLineBreak(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        unsafe bytes.withUnsafeBufferPointer { all in
            guard let base = all.baseAddress else { return false }
            return unsafe memchr(base + range.lowerBound, 0x0A, range.count) != nil
                || memchr(base + range.lowerBound, 0x0D, range.count) != nil
        }
    }

    private static func state(_ value: JSONValue, _ bytes: Span<UInt8>) -> ExportState {
        guard value.isPresent else { return .pending }
        guard value.kind == .string else { return .other }
        if JSONAnswer.isSpelt(value, "Pending", bytes) { return .pending }
        if JSONAnswer.isSpelt(value, "Exported", bytes) { return .exported }
        return JSONAnswer.isSpelt(value, "Failed", bytes) ? .failed : .other
    }

    private static func number(_ value: JSONValue, _ bytes: Span<UInt8>) -> UInt64 {
        guard value.count <= 19 else { return 0 }
        var number: UInt64 = 0
        for index in value.range {
            let digit = bytes[index] &- 0x30
            guard digit < 10 else { return 0 }
            number = number * 10 + UInt64(digit)
        }
        return number
    }

    private static func created(_ value: JSONValue, _ bytes: Span<UInt8>) -> Int64 {
        guard value.kind == .string, let time = Timestamp(bytes, value.range) else { return 0 }
        return time.seconds * 1_000 + Int64(time.nanoseconds / 1_000_000)
    }

    /// An object for a message: its name as far as it is one.
    private func shown(_ fields: APIObjectFields, _ bytes: Span<UInt8>) -> String {
        func part(_ value: JSONValue) -> String? { JSONAnswer.text(value, bytes, limit: 253).map(PlainText.line) }
        guard let name = part(fields.name) else { return "an object without a name" }
        return "the object \(part(fields.namespace).map { "\($0)/" } ?? "")\(name)"
    }
}
