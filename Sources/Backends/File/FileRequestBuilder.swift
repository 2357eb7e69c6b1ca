public import Formats
public import Model

/// Writes one record per line.
public struct FileRequestBuilder: Sendable {
    private let encoder: FormatEncoder
    /// What the names of output files end in.
    let fileExtension: String

    /// A builder for `target`.
    public init(target: Target, encoder: FormatEncoder) {
        self.encoder = encoder
        fileExtension = encoder.writesJSON ? "ndjson" : "log"
    }

    /// Appends one line with its end.
    public func append(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        encoder.encode(record, of: bytes, into: &out)
        out.append(0x0A)
    }

    /// The name of output file `number` of a target.
    func fileName(target: String, number: Int) -> String {
        let digits = String(number)
        return "\(target)-\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits).\(fileExtension)"
    }

    /// The number in a name that ``fileName(target:number:)`` made for this target; nil for other names.
    func number(inName name: String, target: String) -> Int? {
        guard name.hasPrefix(target + "-"), name.hasSuffix("." + fileExtension) else { return nil }
        let digits = name.dropFirst(target.count + 1).dropLast(fileExtension.count + 1)
        guard digits.count >= 6, digits.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
        return Int(digits)
    }
}
