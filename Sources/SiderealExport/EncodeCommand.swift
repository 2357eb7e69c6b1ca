import ArgumentParser
import Formats
import Glibc
import Model
import ShardWorker
import Threading

/// `encode`: probe results in, encoded lines out, without any target.
struct EncodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Turn NDJSON of probe results into lines of a format.",
        discussion: """
            A record that is no valid probe result is reported on standard error as file:line: field: what is wrong; \
            the others still come out. Exit codes: 0 all encoded, 2 the input cannot be read, 3 some were refused.

            Formats: json (the native form), cef (ArcSight), leef (QRadar, 2.0), syslog (RFC 5424), ocsf (1.7.0, class 2003).
            An option below that belongs to another format than the one asked for is a mistake.

            Examples:
              sidereal-export encode --format json --input results.ndjson
              sidereal-export generate --count 10 | sidereal-export encode --format cef
              sidereal-export encode --format syslog --facility 10 --input results.ndjson
            """)

    @Option(help: "Format of the lines: json, cef, leef, syslog or ocsf.")
    var format: FormatName

    @Option(help: ArgumentHelp("NDJSON to read; - is standard input.", valueName: "file"))
    var input = "-"

    @Option(help: ArgumentHelp("Name of the cluster that records are stamped with.", valueName: "name"))
    var clusterName = "default"

    @OptionGroup(title: "Options of single formats")
    var choices: FormatArguments

    func validate() throws { try choices.check(for: format.kind) }

    // Reading and writing block the calling thread; nothing else runs in this process that could wait for it.
    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let console = Console()
        let stamp = ExportStamp(version: ExporterVersion.current, cluster: clusterName)
        let encoder = FormatEncoder(format.kind, stamp: stamp, options: choices.options)
        let descriptor = input == "-" ? STDIN_FILENO : unsafe open(input, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            console.line("error: cannot read \(input): \(systemErrorText(errno))")
            throw Exit.badSetup
        }
        var encoding = LineEncoding(encoder: encoder, name: input == "-" ? "stdin" : input, console: console)
        do throws(OutputFailure) {
            try encoding.run(from: descriptor)
        } catch {
            // Whoever read our output has seen enough, `head` for example.
            if error.number == EPIPE { return }
            console.line("error: \(error.message)")
            throw Exit.badSetup
        }
        if encoding.refused > 0 { throw Exit.deadLetters }
    }
}

/// Reads lines, encodes them, and keeps count.
private struct LineEncoding: ~Copyable {
    private let encoder: FormatEncoder
    private let name: String
    private let console: Console
    private let limits = Limits()
    private var reader: ProbeResultReader
    private var out = ByteWriter(capacity: 2 << 20)
    private var line = 0
    /// The line that is being read is too long already; what comes of it is passed over.
    private var isSkipping = false
    private(set) var refused = 0

    init(encoder: FormatEncoder, name: String, console: Console) {
        self.encoder = encoder
        self.name = name
        self.console = console
        reader = ProbeResultReader(limits: limits)
    }

    mutating func run(from descriptor: Int32) throws(OutputFailure) {
        let sink = try OutputSink(path: "-")
        var pending = ByteWriter(capacity: 1 << 20)
        while true {
            var count = 0
            var code: Int32 = 0
            unsafe pending.append(room: 256 << 10) { buffer in
                count = unsafe read(descriptor, buffer.baseAddress, buffer.count)
                code = errno
                return max(count, 0)
            }
            if count < 0, code == EINTR { continue }
            guard count >= 0 else { throw OutputFailure("read", name, code) }
            let done = encode(pending.span, isFinal: count == 0)
            var rest = ByteWriter(capacity: 1 << 20)
            rest.append(pending.span, done..<pending.count)
            swap(&pending, &rest)
            try sink.write(out.span)
            out.removeAll()
            if count == 0 { return }
        }
    }

    /// Encodes the whole lines of what has come; returns where the one begins that has not come whole.
    private mutating func encode(_ span: Span<UInt8>, isFinal: Bool) -> Int {
        var lines = LineCutter(0..<span.count)
        while let (whole, text) = lines.next(span) {
            let isWhole = isFinal || span[whole.upperBound - 1] == 0x0A
            guard isWhole || whole.count > limits.maxRecordBytes + 2 else { return whole.lowerBound }
            if isSkipping { isSkipping = !isWhole } else { encode(span, text, isWhole: isWhole) }
        }
        return span.count
    }

    private mutating func encode(_ span: Span<UInt8>, _ text: Range<Int>, isWhole: Bool) {
        line += 1
        isSkipping = !isWhole
        if LineCutter.isBlank(span, text) { return }
        do throws(RecordError) {
            guard text.count <= limits.maxRecordBytes else {
                throw RecordError(field: "record", message: "longer than \(limits.maxRecordBytes) bytes")
            }
            try reader.read(span, text)
            encoder.encode(reader.record, of: span, into: &out)
            out.append(0x0A)
        } catch {
            refused += 1
            console.line("\(name):\(line): \(error)")
        }
    }
}
