/// What is wrong with a body of records.
struct RecordFault: Error, Equatable, CustomStringConvertible {
    enum Kind: Equatable {
        /// No JSON object stands there.
        case malformed
        /// The object says nowhere which record it is.
        case withoutIdentity
        /// An action without its source, or the other way round.
        case unpaired
        /// Not as many records as the request says.
        case miscounted(claimed: Int)
    }

    var kind: Kind
    /// The record's position in the body, from 1.
    var record: Int

    var description: String {
        switch kind {
        case .malformed: "record \(record) is no JSON object"
        case .withoutIdentity: "record \(record) has no identity: neither metadata.uid nor fields.uid, nor _id"
        case .unpaired: "record \(record): its action or its source is missing"
        case .miscounted(let claimed): "there are \(record) records, and the request says \(claimed)"
        }
    }
}

/// Counts the records of a body that comes in pieces: each must be a JSON object that says which record it is.
struct RecordCounter {
    enum Shape {
        /// Objects one after another, with or without white space between them.
        case sequence
        /// An object a line.
        case lines
        /// A line of action, `create` or `index`, and one of source.
        case bulk
    }

    private let shape: Shape
    private var delays: DelayCounts
    /// When the body arrived, nanoseconds since 1970.
    private let now: Int64
    private(set) var records = 0
    private(set) var bytes = 0
    /// The action whose source is still to come.
    private var action: RecordMarks?
    /// The beginning of a line whose end has not come yet.
    private var begun: [UInt8] = []
    /// Whether the first action was `index`.
    private(set) var isIndex = false

    init(_ shape: Shape, now: Int64) {
        self.shape = shape
        self.now = now
        delays = DelayCounts()
    }

    /// Counts what is whole in `piece`, and keeps the rest for the next.
    mutating func feed(_ piece: RawSpan) throws(RecordFault) {
        bytes += piece.byteCount
        guard let last = Self.lastFeed(piece) else { return keep(piece, from: 0) }
        var start = 0
        if !begun.isEmpty {
            start = Self.firstFeed(piece) + 1
            keep(piece.extracting(0..<start), from: 0)
            var line: [UInt8] = []
            swap(&line, &begun)
            try unsafe count(line.span.bytes)
            line.removeAll(keepingCapacity: true)
            begun = line
        }
        if start <= last { try count(piece.extracting(start..<last + 1)) }
        keep(piece, from: last + 1)
    }

    /// Counts what is left; the delays of all.
    mutating func finish() throws(RecordFault) -> DelayCounts {
        let rest = begun
        begun = []
        try unsafe count(rest.span.bytes)
        if action != nil { throw RecordFault(kind: .unpaired, record: records + 1) }
        return delays
    }

    private mutating func keep(_ piece: RawSpan, from start: Int) {
        unsafe piece.extracting(start..<piece.byteCount).withUnsafeBytes { unsafe begun.append(contentsOf: $0) }
    }

    private static func byte(_ piece: RawSpan, _ index: Int) -> UInt8 {
        unsafe piece.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    private static func lastFeed(_ piece: RawSpan) -> Int? {
        var index = piece.byteCount - 1
        while index >= 0, byte(piece, index) != 0x0A { index -= 1 }
        return index < 0 ? nil : index
    }

    private static func firstFeed(_ piece: RawSpan) -> Int {
        var index = 0
        while byte(piece, index) != 0x0A { index += 1 }
        return index
    }

    /// Counts whole lines.
    private mutating func count(_ text: RawSpan) throws(RecordFault) {
        var scan = RecordScan(text)
        scan.skipSpace()
        while scan.next != nil {
            var marks: RecordMarks
            do throws(JSONFault) {
                marks = try scan.object()
            } catch {
                throw RecordFault(kind: .malformed, record: records + 1)
            }
            if shape != .sequence, let next = scan.next, next != 0x0A, next != 0x0D {
                throw RecordFault(kind: .malformed, record: records + 1)
            }
            scan.skipSpace()
            if shape == .bulk {
                guard let before = action else {
                    try begin(marks, text)
                    continue
                }
                action = nil
                marks.hasIdentity = marks.hasIdentity || before.hasIdentity
            }
            guard marks.hasIdentity else { throw RecordFault(kind: .withoutIdentity, record: records + 1) }
            records += 1
            if let range = marks.time, let time = RecordTime.nanoseconds(text, range) { delays.note(now - time) }
        }
    }

    private mutating func begin(_ marks: RecordMarks, _ text: RawSpan) throws(RecordFault) {
        guard marks.members == 1, let key = marks.firstKey else {
            throw RecordFault(kind: .unpaired, record: records + 1)
        }
        let isIndex = RecordTime.equals(text, key, "index")
        guard isIndex || RecordTime.equals(text, key, "create") else {
            throw RecordFault(kind: .unpaired, record: records + 1)
        }
        if records == 0 { self.isIndex = isIndex }
        action = marks
    }
}
