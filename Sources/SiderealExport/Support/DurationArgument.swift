import ArgumentParser

/// A span of time on the command line: digits and one of `ms`, `s`, `m`, `h`.
struct DurationArgument: ExpressibleByArgument, Sendable, Equatable {
    var milliseconds: UInt64

    init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        let units: [Substring: UInt64] = ["ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000]
        guard let count = UInt64(digits) else { return nil }
        // Zero needs no unit.
        guard let unit = units[argument.dropFirst(digits.count)] ?? (argument == "0" ? 1 : nil) else { return nil }
        let (product, overflows) = count.multipliedReportingOverflow(by: unit)
        guard !overflows else { return nil }
        milliseconds = product
    }

    var defaultValueDescription: String {
        milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms"
    }
}
