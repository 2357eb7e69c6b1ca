internal import Model

/// The generator's own time: UTC, from 2026-01-01T00:00:00Z.
struct Clock {
    /// Unix seconds of the start.
    private static let start: UInt64 = 1_767_225_600

    private var seconds = Clock.start
    private var nanoseconds: UInt64 = 0

    /// From the start.
    init() {}

    /// From a time of the caller's, in nanoseconds since 1970.
    init(unixNanoseconds: UInt64) {
        seconds = unixNanoseconds / 1_000_000_000
        nanoseconds = unixNanoseconds % 1_000_000_000
    }

    mutating func advance(nanoseconds more: UInt64) {
        nanoseconds += more
        seconds += nanoseconds / 1_000_000_000
        nanoseconds %= 1_000_000_000
    }

    /// RFC 3339 as Go's RFC3339Nano writes it: no zeros at the end of the fraction, no fraction if it is zero.
    func append(to out: inout ByteWriter) {
        Self.append(seconds: seconds, to: &out)
        if nanoseconds > 0 {
            out.append(UInt8(ascii: "."))
            var fraction = nanoseconds
            var digits = 9
            while fraction % 10 == 0 {
                fraction /= 10
                digits -= 1
            }
            Self.append(fraction, digits: digits, to: &out)
        }
        out.append(UInt8(ascii: "Z"))
    }

    /// The whole second in which a probe that started now and took `milliseconds` was stored.
    func appendSecond(after milliseconds: UInt64, into out: inout ByteWriter) {
        Self.append(seconds: seconds + (nanoseconds / 1_000_000 + milliseconds) / 1_000 + 1, to: &out)
        out.append(UInt8(ascii: "Z"))
    }

    private static func append(seconds: UInt64, to out: inout ByteWriter) {
        let (year, month, day) = civil(days: seconds / 86_400)
        append(year, digits: 4, to: &out)
        out.append(UInt8(ascii: "-"))
        append(month, digits: 2, to: &out)
        out.append(UInt8(ascii: "-"))
        append(day, digits: 2, to: &out)
        out.append(UInt8(ascii: "T"))
        append(seconds % 86_400 / 3_600, digits: 2, to: &out)
        out.append(UInt8(ascii: ":"))
        append(seconds % 3_600 / 60, digits: 2, to: &out)
        out.append(UInt8(ascii: ":"))
        append(seconds % 60, digits: 2, to: &out)
    }

    /// Days since 1970-01-01 as a Gregorian date (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    private static func civil(days: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func append(_ value: UInt64, digits: Int, to out: inout ByteWriter) {
        var divisor: UInt64 = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            out.append(UInt8(truncatingIfNeeded: 48 + value / divisor % 10))
            divisor /= 10
        }
    }
}
