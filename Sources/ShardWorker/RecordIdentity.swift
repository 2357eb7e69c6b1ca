import Formats
import Model

/// Finds out whose record some bytes are, for reports about single records.
public enum RecordIdentity {
    /// `metadata.uid`, or nothing if the bytes are no valid record.
    public static func uid(of bytes: [UInt8]) -> String {
        var reader = ProbeResultReader()
        var end = bytes.count
        while end > 0, bytes[end - 1] == 0x0A || bytes[end - 1] == 0x0D { end -= 1 }
        guard (try? reader.read(bytes.span, 0..<end)) != nil else { return "" }
        return String(decoding: bytes[reader.record[.uid].range], as: UTF8.self)
    }
}
