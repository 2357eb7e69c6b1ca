import Formats
import Glibc
import Logging
import Model
import Synchronization
import Threading

/// What people and log collectors see on standard error: lines, and on a terminal a few live ones below them.
final class Console: Sendable {
    private struct State {
        var live: [String] = []
    }

    private let state = Mutex(State())
    /// Whether standard error is a terminal that understands cursor movement.
    let isTerminal: Bool

    init() {
        let term = unsafe getenv("TERM").map { unsafe String(cString: $0) } ?? "dumb"
        isTerminal = isatty(STDERR_FILENO) == 1 && term != "dumb"
    }

    /// Columns of the terminal.
    var width: Int {
        var size = winsize()
        let known = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20
        return known ? Int(size.ws_col) : 80
    }

    /// Writes a line that stays, above the live ones. What a terminal would obey is shown as an escape.
    func line(_ text: String) {
        let shown = text.printable
        state.withLock { state in write(Self.erase(state.live.count) + shown + "\n" + Self.block(state.live)) }
    }

    /// Replaces the live lines.
    func live(_ lines: [String]) {
        guard isTerminal else { return }
        let width = width
        let cut = lines.map { String($0.printable.prefix(width - 1)) }
        state.withLock { state in
            write(Self.erase(state.live.count) + Self.block(cut))
            state.live = cut
        }
    }

    private static func block(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

    /// Up over `count` lines, and clear from there to the end of the screen (ECMA-48 CUU, ED).
    private static func erase(_ count: Int) -> String { count > 0 ? "\u{1B}[\(count)A\u{1B}[0J" : "" }

    private func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let count = unsafe Glibc.write(STDERR_FILENO, bytes.baseAddress?.advanced(by: done), bytes.count - done)
                // Nobody reads what we say: exporting goes on all the same.
                guard count > 0 else { return }
                done += count
            }
        }
    }
}

/// Log records as people read them on a terminal, as one JSON object per line elsewhere.
struct ConsoleLogHandler: LogHandler {
    let console: Console
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(console: Console) { self.console = console }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        let message = "\(event.message)"
        console.line(
            console.isTerminal ? Self.text(event.level, message, all) : Self.json(event.level, message, all))
    }

    private static func text(_ level: Logger.Level, _ message: String, _ metadata: [(String, Logger.MetadataValue)])
        -> String
    {
        let details = metadata.map { "\($0.0)=\($0.1)" }.joined(separator: " ")
        return "\(level.rawValue): \(message)\(details.isEmpty ? "" : "  (\(details))")"
    }

    private static func json(_ level: Logger.Level, _ message: String, _ metadata: [(String, Logger.MetadataValue)])
        -> String
    {
        var object = JSONObject()
        object.add("time", SystemTime.rfc3339())
        object.add("level", level.rawValue)
        object.add("message", message)
        // A second member of a name would hide the first from most readers.
        for (key, value) in metadata { object.add(Self.own.contains(key) ? "about.\(key)" : key, "\(value)") }
        return object.text
    }

    private static let own: Set<String> = ["time", "level", "message"]
}

/// The wall clock as text.
enum SystemTime {
    /// Unix milliseconds, now if none are given, in UTC.
    static func rfc3339(_ milliseconds: Int64 = SystemClock.unixMilliseconds()) -> String {
        var out = ByteWriter(capacity: 32)
        // Rounded down, also before 1970.
        let seconds = milliseconds / 1_000 - (milliseconds % 1_000 < 0 ? 1 : 0)
        Timestamp(seconds: seconds, nanoseconds: UInt32(milliseconds - seconds * 1_000) * 1_000_000)
            .write(digits: 3, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }
}

/// A small JSON object, member by member in the order added.
struct JSONObject {
    private var members: [String] = []

    mutating func add(_ key: String, _ value: String) { members.append("\(Self.quoted(key)):\(Self.quoted(value))") }

    mutating func add(_ key: String, _ value: Int) { members.append("\(Self.quoted(key)):\(value)") }

    mutating func add(_ key: String, raw value: String) { members.append("\(Self.quoted(key)):\(value)") }

    var text: String { "{\(members.joined(separator: ","))}" }

    static func quoted(_ text: String) -> String {
        var out = ByteWriter(capacity: text.utf8.count + 2)
        out.append(0x22)
        JSONText.escape(Array(text.utf8).span, into: &out)
        out.append(0x22)
        // The escapes are those of JSON, so this is the same value, in letters that a terminal does not obey.
        return String(decoding: out.seal().array, as: UTF8.self).printable
    }
}
