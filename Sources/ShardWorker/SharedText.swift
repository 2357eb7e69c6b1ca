import Formats
import Model

/// A record's text in one format, written once for all targets of an intake that want it so: what differs between them is
/// what their backends put around it. Confined to the intake that owns it.
///
/// Promises:
/// 1. What is read is always the text of the record that was read last.
/// 2. Where only one target takes a chunk, nothing is written here and nothing is copied.
final class SharedText {
    /// The text, once ``write(_:of:)`` was called for the record.
    private(set) var bytes = ByteWriter()
    /// Whether several targets take what is read now.
    private(set) var isShared = false
    private let encoder: FormatEncoder
    private var isWritten = false

    init(_ encoder: FormatEncoder) { self.encoder = encoder }

    /// A chunk begins that `count` targets of this format take.
    func begin(for count: Int) { isShared = count > 1 }

    /// Another record was read.
    func forget() { isWritten = false }

    /// Writes the text, unless another target had it written.
    func write(_ record: borrowing ProbeResult, of bytes: Span<UInt8>) {
        guard !isWritten else { return }
        isWritten = true
        self.bytes.removeAll()
        encoder.encode(record, of: bytes, into: &self.bytes)
    }

    /// Joins targets of one format, if there are several; the stamp is the same for all of a process. Returns what was made.
    static func join(_ builders: [LaneBuilder]) -> [SharedText] {
        var texts: [SharedText] = []
        for (place, builder) in builders.enumerated() where builder.text == nil {
            let alike = builders[place...].filter { $0.lane.gauge.target.writesLike(builder.lane.gauge.target) }
            guard alike.count > 1 else { continue }
            let text = SharedText(builder.encoder)
            for one in alike { one.text = text }
            texts.append(text)
        }
        return texts
    }
}

extension Target {
    /// Whether a record's own text is the same for both.
    fileprivate func writesLike(_ other: Target) -> Bool {
        // No option concerns the native form; one may concern what is around it.
        format == other.format && (format == .json || formatOptions == other.formatOptions)
    }
}
