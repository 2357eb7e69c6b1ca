public import Formats
public import Model

/// Writes one record per line.
public struct FileRequestBuilder: Sendable {
    let encoder: FormatEncoder
    /// What the names of finished files end in.
    let fileExtension: String
    /// Behind the name of a file that is still written: collectors look for finished ones.
    static let openSuffix = ".open"

    /// A builder for `target`.
    public init(target: Target, encoder: FormatEncoder) {
        self.encoder = encoder
        fileExtension = (encoder.writesJSON ? "ndjson" : "log") + (target.compression == .gzip ? ".gz" : "")
    }

    /// Appends one line with its end.
    ///
    /// - Parameter text: the record in the target's format, if somebody else has written it already.
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil, into out: inout ByteWriter
    ) {
        encoder.encode(record, of: bytes, as: text, into: &out)
        out.append(0x0A)
    }

    /// The name of output file `number` of a target when it is finished.
    func fileName(target: String, number: Int) -> String {
        let digits = String(number)
        return "\(target)-\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits).\(fileExtension)"
    }

    /// The number in a name that ``fileName(target:number:)`` made for this target, whatever the form of its content and
    /// whether it is finished; nil for other names.
    static func number(inName name: String, target: String) -> Int? {
        guard name.hasPrefix(target + "-") else { return nil }
        let digits = name.dropFirst(target.count + 1).prefix { $0 != "." }
        let end = finished(String(name.dropFirst(target.count + 1 + digits.count)))
        guard digits.count >= 6, digits.allSatisfy({ ("0"..."9").contains($0) }), endings.contains(end) else {
            return nil
        }
        return Int(digits)
    }

    private static let endings: Set<String> = [".ndjson", ".log", ".ndjson.gz", ".log.gz"]

    /// Whether the file at `path` has the form that this target writes.
    func writes(_ path: String) -> Bool { Self.finished(path).hasSuffix("." + fileExtension) }

    /// Whether `path` is that of a file that was still written when it got this name.
    static func isOpen(_ path: String) -> Bool { path.hasSuffix(openSuffix) }

    /// The name or path without what marks it as unfinished.
    static func finished(_ path: String) -> String { isOpen(path) ? String(path.dropLast(openSuffix.count)) : path }

    /// Whether the file at `path` holds gzip members.
    static func isCompressed(_ path: String) -> Bool { finished(path).hasSuffix(".gz") }
}
