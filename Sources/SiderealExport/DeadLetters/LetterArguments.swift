import ArgumentParser
import Formats
import Ledger
import Threading

/// Where the ledger lies.
struct StateArgument: ParsableArguments {
    @Option(help: ArgumentHelp("Where the exporter's ledger lies.", valueName: "dir"))
    var state = "/var/lib/sidereal-export"
}

/// Which dead letters are meant.
struct LetterArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("Numbers of dead letters, as `list` shows them.", valueName: "id"))
    var ids: [Int64] = []

    @Option(help: ArgumentHelp("Only those of this target.", valueName: "name"))
    var target: String?

    @Flag(help: "Only those that were refused as no valid probe result, before any target.")
    var intake = false

    @Option(
        help: ArgumentHelp(
            "Only those last tried since then: 90m, 24h or 7d ago, or a time as 2026-01-31T08:00:00Z.",
            valueName: "time"))
    var since: SinceArgument?

    @Option(help: ArgumentHelp("Only those whose code or reason contains this, in whatever case.", valueName: "text"))
    var reason: String?

    func validate() throws {
        if intake, target != nil {
            throw ValidationError("--intake means those without a target; leave --target out.")
        }
        if let wrong = ids.first(where: { $0 <= 0 }) {
            throw ValidationError("Dead letters are numbered from 1, and \(wrong) is none.")
        }
    }

    /// As the ledger wants it.
    var filter: DeadLetterFilter {
        var filter = DeadLetterFilter()
        filter.ids = ids
        filter.target = intake ? "" : target
        filter.since = since?.milliseconds
        filter.reason = reason
        return filter
    }

    /// Whether nothing restricts it.
    var meansAll: Bool { filter == DeadLetterFilter() }
}

/// A moment: so long ago, or a time after RFC 3339.
struct SinceArgument: ExpressibleByArgument, Sendable {
    /// Unix milliseconds.
    let milliseconds: Int64

    init?(argument: String) {
        if let ago = Self.ago(argument) {
            milliseconds = SystemClock.unixMilliseconds() - ago
            return
        }
        let bytes = Array(argument.utf8)
        guard let time = Timestamp(bytes.span, 0..<bytes.count) else { return nil }
        milliseconds = time.seconds * 1_000 + Int64(time.nanoseconds / 1_000_000)
    }

    private static func ago(_ argument: String) -> Int64? {
        if argument.hasSuffix("d"), let days = Int64(argument.dropLast()), (0...1_000_000).contains(days) {
            return days * 86_400_000
        }
        return DurationArgument(argument: argument).map { Int64(clamping: $0.milliseconds) }
    }
}
