import Coordinator
import Crypto
import Glibc
import Ledger
import Model

/// Dead letters laid out one after the other, as an input that lanes can read.
///
/// Nothing depends on the file: the letters stay in the ledger until they are delivered. It has no name as soon as it
/// is open, so that nothing of it is left behind.
final class RetryFile {
    private let path: String
    private let sink: OutputSink
    private var hasName = true
    private var block = ByteWriter(capacity: 1 << 20)
    /// The letters, in the file's order.
    private(set) var entries: [Revival.Entry] = []
    /// Bytes laid out so far.
    private(set) var size: UInt64 = 0

    init(state: String) throws(OutputFailure) {
        path = state + "/retry.ndjson"
        sink = try OutputSink(path: path, mode: 0o600)
    }

    deinit { removeName() }

    private func removeName() {
        if hasName { unsafe unlink(path) }
        hasName = false
    }

    /// Length of the record without its line end.
    static func textLength(_ bytes: [UInt8]) -> Int {
        var end = bytes.count
        while end > 0, bytes[end - 1] == 0x0A || bytes[end - 1] == 0x0D { end -= 1 }
        return end
    }

    func append(_ letter: DeadLetter) throws {
        let text = Self.textLength(letter.bytes)
        block.append(letter.bytes.span, 0..<text)
        block.append(0x0A)
        let end = size + UInt64(text) + 1
        entries.append(
            Revival.Entry(
                id: letter.id, target: letter.target, uid: letter.uid, origin: letter.source, range: size..<end,
                digest: try SHA256.hash(letter.bytes.span)))
        size = end
        if block.count >= 1 << 20 { try flush() }
    }

    /// Ends writing.
    func finish() throws {
        try flush()
        try sink.close()
    }

    /// The file as an input.
    func open() throws(InputError) -> InputCatalog {
        defer { removeName() }
        return try InputCatalog.unknown(path, as: Revival.source)
    }

    private func flush() throws(OutputFailure) {
        var full = ByteWriter(capacity: 1 << 20)
        swap(&full, &block)
        try sink.write(full.span)
    }
}
