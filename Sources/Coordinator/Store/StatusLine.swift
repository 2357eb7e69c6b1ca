import Formats
import Model
import Protocol

/// A line of the status journal, `status.log`: JSON for people and tools, read and written as bytes.
///
/// ```
/// {"term":3,"file":"a.ndjson","source":"9f3c…","size":2048,"target":"splunk","delivered":[[0,512],[1024,1536]],"sum":"…"}
/// {"term":3,"file":"a.ndjson","source":"9f3c…","size":2048,"target":"splunk","dead":[[512,1024]],"reason":"…","sum":"…"}
/// {"term":3,"file":"a.ndjson","source":"9f3c…","size":2048,"finished":["splunk","archive"],"sum":"…"}
/// ```
/// Ranges are bytes of the file, from the first to the one after the last. `source` names the file together with its
/// first bytes and its size; one that could not be looked at has the empty name and ``unknownSize``. `sum` is FNV-1a of 64
/// bits over everything before its comma: a line that was written in part, or whose bytes changed on the disk, is not taken
/// for one.
struct StatusLine: Equatable {
    enum Body: Equatable {
        case facts(target: String, Outcomes.Kind, [Range<UInt64>], reason: String)
        case finished(targets: [String])
    }

    var term: UInt64
    var file: String
    var source: UInt64
    var size: UInt64
    var body: Body

    /// Of a source that could not be looked at. It is more than any file has, so that nothing takes it for complete.
    static let unknownSize = UInt64(Int64.max)
    /// More ranges than this go on in another line.
    static let maxRanges = 1_000

    // MARK: Writing

    func write(into out: inout ByteWriter) {
        let start = out.count
        out.append("{\"term\":")
        out.append(decimal: term)
        out.append(",\"file\":")
        Self.write(file, into: &out)
        out.append(",\"source\":\"")
        Self.write(hex: source, into: &out)
        out.append("\",\"size\":")
        out.append(decimal: size)
        switch body {
        case .facts(let target, let kind, let ranges, let reason):
            out.append(",\"target\":")
            Self.write(target, into: &out)
            out.append(0x2C)
            Self.write(Self.name(of: kind), into: &out)
            out.append(0x3A)
            Self.write(ranges, into: &out)
            if !reason.isEmpty {
                out.append(",\"reason\":")
                Self.write(reason, into: &out)
            }
        case .finished(let targets):
            out.append(",\"finished\":[")
            for (index, target) in targets.enumerated() {
                if index > 0 { out.append(0x2C) }
                Self.write(target, into: &out)
            }
            out.append(0x5D)
        }
        let sum = Self.sum(out.span, start..<out.count)
        out.append(",\"sum\":\"")
        Self.write(hex: sum, into: &out)
        out.append("\"}\n")
    }

    private static func name(of kind: Outcomes.Kind) -> String {
        switch kind {
        case .delivered: "delivered"
        case .dead: "dead"
        case .failed: "failed"
        }
    }

    private static func write(_ text: String, into out: inout ByteWriter) {
        out.append(0x22)
        JSONText.escape(Array(text.utf8).span, into: &out)
        out.append(0x22)
    }

    private static func write(hex value: UInt64, into out: inout ByteWriter) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(shift) & 15)
            out.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
        }
    }

    private static func write(_ ranges: [Range<UInt64>], into out: inout ByteWriter) {
        out.append(0x5B)
        for (index, range) in ranges.enumerated() {
            if index > 0 { out.append(0x2C) }
            out.append(0x5B)
            out.append(decimal: range.lowerBound)
            out.append(0x2C)
            out.append(decimal: range.upperBound)
            out.append(0x5D)
        }
        out.append(0x5D)
    }

    private static func sum(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01b3 }
        return hash
    }

    // MARK: Reading

    private static let tailBytes = 26

    /// The line in `bytes[range]`, without its line end; nil if it is none of ours, or damaged.
    init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        let end = range.upperBound - Self.tailBytes
        guard end > range.lowerBound, let members = JSONAnswer.members(bytes, range) else { return nil }
        let fields = Dictionary(members, uniquingKeysWith: { first, _ in first })
        guard let sum = fields["sum"], sum.range == end + 8..<end + 24,
            Self.hex(sum, bytes) == Self.sum(bytes, range.lowerBound..<end),
            let term = Self.number(fields["term"], bytes), let file = Self.text(fields["file"], bytes),
            let source = fields["source"].flatMap({ Self.hex($0, bytes) }),
            let size = Self.number(fields["size"], bytes), let body = Self.body(fields, bytes)
        else { return nil }
        self.init(term: term, file: file, source: source, size: size, body: body)
    }

    init(term: UInt64, file: String, source: UInt64, size: UInt64, body: Body) {
        self.term = term
        self.file = file
        self.source = source
        self.size = size
        self.body = body
    }

    private static func body(_ fields: [String: JSONValue], _ bytes: Span<UInt8>) -> Body? {
        if let list = fields["finished"] {
            guard let elements = JSONAnswer.elements(bytes, list) else { return nil }
            return .finished(targets: elements.compactMap { text($0, bytes) })
        }
        guard let target = text(fields["target"], bytes) else { return nil }
        for kind in [Outcomes.Kind.delivered, .dead, .failed] {
            guard let list = fields[name(of: kind)] else { continue }
            guard let ranges = ranges(list, bytes) else { return nil }
            return .facts(target: target, kind, ranges, reason: text(fields["reason"], bytes) ?? "")
        }
        return nil
    }

    private static func text(_ value: JSONValue?, _ bytes: Span<UInt8>) -> String? {
        value.flatMap { JSONAnswer.text($0, bytes, limit: 4 << 10) }
    }

    private static func number(_ value: JSONValue?, _ bytes: Span<UInt8>) -> UInt64? {
        value.flatMap { JSONAnswer.integer($0, bytes) }.flatMap { UInt64(exactly: $0) }
    }

    private static func hex(_ value: JSONValue, _ bytes: Span<UInt8>) -> UInt64? {
        guard value.kind == .string, value.count == 16 else { return nil }
        var number: UInt64 = 0
        for index in value.range {
            switch bytes[index] {
            case 0x30...0x39: number = number << 4 | UInt64(bytes[index] - 0x30)
            case 0x61...0x66: number = number << 4 | UInt64(bytes[index] - 0x57)
            default: return nil
            }
        }
        return number
    }

    /// `[[a,b],…]` without white space, as it was written: there may be a thousand of them.
    private static func ranges(_ list: JSONValue, _ bytes: Span<UInt8>) -> [Range<UInt64>]? {
        guard list.kind == .array else { return nil }
        var numbers: [UInt64] = []
        var current: UInt64?
        for index in list.range {
            let byte = bytes[index]
            if byte &- 0x30 < 10 {
                let (product, over) = (current ?? 0).multipliedReportingOverflow(by: 10)
                let (total, past) = product.addingReportingOverflow(UInt64(byte &- 0x30))
                guard !over, !past else { return nil }
                current = total
            } else {
                guard byte == 0x2C || byte == 0x5B || byte == 0x5D else { return nil }
                if let number = current { numbers.append(number) }
                current = nil
            }
        }
        guard numbers.count.isMultiple(of: 2) else { return nil }
        var ranges: [Range<UInt64>] = []
        for index in stride(from: 0, to: numbers.count, by: 2) {
            guard numbers[index] <= numbers[index + 1] else { return nil }
            ranges.append(numbers[index]..<numbers[index + 1])
        }
        return ranges
    }
}
