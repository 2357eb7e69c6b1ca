import ExportCore
import Formats
import FoundationEssentials
import Model

/// Writes what the endpoint says as JSON.
enum StatusJSON {
    /// `value` as JSON, keys in alphabetical order so that two answers can be compared; ends without a line end.
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A number that JSON cannot hold is written as text instead of refusing the whole document.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        // Nothing in these types refuses to be encoded.
        guard let data = try? encoder.encode(value) else { return Array("{}".utf8) }
        return Array(data)
    }

    /// RFC 3339 in UTC with milliseconds.
    static func time(unixMilliseconds: Int64) -> String {
        var out = ByteWriter(capacity: 32)
        let seconds = unixMilliseconds / 1_000
        Timestamp(seconds: seconds, nanoseconds: UInt32(max(unixMilliseconds - seconds * 1_000, 0)) * 1_000_000)
            .write(digits: 3, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }
}
