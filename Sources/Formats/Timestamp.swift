public import Model

/// A point in time as a record states it: seconds since 1970-01-01T00:00:00Z and nanoseconds within the second.
///
/// Parsed and written by hand after RFC 3339, section 5.6: any offset, 0 to 9 fraction digits, leap days; no leap
/// seconds, for POSIX time has none. In UTC it lies in the years 0001 to 9999, which is what Go's `time.Time` starts
/// with and what four digits can write. Where a format holds fewer digits they are cut, never rounded up.
public struct Timestamp: Sendable, Equatable, Comparable {
    /// Seconds since the epoch; negative before it.
    public var seconds: Int64
    /// From 0 to 999 999 999.
    public var nanoseconds: UInt32

    /// A time made of its two parts.
    public init(seconds: Int64, nanoseconds: UInt32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// The end of the year 9999, which no record is after.
    public static let latest = Timestamp(seconds: 253_402_300_799, nanoseconds: 999_999_999)

    /// Orders by time.
    public static func < (a: Timestamp, b: Timestamp) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    /// Reads `bytes[range]`; nil if it is not an RFC 3339 time.
    public init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        var parser = TimestampParser(at: range.lowerBound, end: range.upperBound)
        guard let parsed = PlainTimestamp.read(bytes, range) ?? parser.parse(bytes) else { return nil }
        self = parsed
    }

    /// Year, month and day in UTC.
    public var date: (year: Int, month: Int, day: Int) {
        Self.civil(days: Int(seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400))
    }

    /// Second of the day in UTC, 0 to 86 399.
    public var secondOfDay: Int {
        let rest = seconds % 86_400
        return Int(rest < 0 ? rest + 86_400 : rest)
    }

    /// Days since the epoch of a date of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level
    /// date algorithms").
    static func days(year: Int, month: Int, day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        return (
            yearOfEra + era * 400 + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9,
            dayOfYear - (153 * month + 2) / 5 + 1
        )
    }
}

extension Timestamp {
    /// Appends `YYYY-MM-DDTHH:MM:SS[.fff…]Z`, with exactly `digits` (0 to 9) fraction digits.
    public func write(digits: Int, into out: inout ByteWriter) {
        let (year, month, day) = date
        out.reserve(40)
        Self.pad(year, 4, &out)
        out.append(0x2D)
        Self.pad(month, 2, &out)
        out.append(0x2D)
        Self.pad(day, 2, &out)
        out.append(0x54)
        let second = secondOfDay
        Self.pad(second / 3600, 2, &out)
        out.append(0x3A)
        Self.pad(second / 60 % 60, 2, &out)
        out.append(0x3A)
        Self.pad(second % 60, 2, &out)
        writeFraction(digits: digits, into: &out)
        out.append(0x5A)
    }

    /// Appends the time as plain decimal seconds with `digits` fraction digits: no exponent, ever.
    public func writeDecimalSeconds(digits: Int, into out: inout ByteWriter) {
        if seconds < 0 {
            // -0.25 s is (-1 s, 750 ms): the fraction counts upwards from the whole second.
            let total = seconds.magnitude &- (nanoseconds > 0 ? 1 : 0)
            out.append(0x2D)
            out.append(decimal: total)
            let rest = nanoseconds > 0 ? 1_000_000_000 - nanoseconds : 0
            Timestamp(seconds: 0, nanoseconds: rest).writeFraction(digits: digits, into: &out)
        } else {
            out.append(decimal: UInt64(seconds))
            writeFraction(digits: digits, into: &out)
        }
    }

    private func writeFraction(digits: Int, into out: inout ByteWriter) {
        guard digits > 0 else { return }
        out.append(0x2E)
        var divisor: UInt32 = 100_000_000
        for _ in 0..<min(digits, 9) {
            out.append(UInt8(truncatingIfNeeded: 0x30 &+ nanoseconds / divisor % 10))
            divisor = divisor > 1 ? divisor / 10 : 1
        }
    }

    /// Appends `value` with leading zeros up to `width` digits.
    public static func pad(_ value: Int, _ width: Int, _ out: inout ByteWriter) {
        var divisor = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            out.append(UInt8(truncatingIfNeeded: 0x30 + value / divisor % 10))
            divisor /= 10
        }
    }
}

/// The grammar of RFC 3339, section 5.6, read from left to right.
private struct TimestampParser {
    var at: Int
    let end: Int

    mutating func parse(_ bytes: Span<UInt8>) -> Timestamp? {
        guard let year = digits(4, bytes), take(0x2D, bytes), let month = digits(2, bytes), take(0x2D, bytes),
            let day = digits(2, bytes), take(0x54, bytes, or: 0x74), let hour = digits(2, bytes), take(0x3A, bytes),
            let minute = digits(2, bytes), take(0x3A, bytes), let second = digits(2, bytes)
        else { return nil }
        guard let nanoseconds = fraction(bytes), let offset = offset(bytes), at == end else { return nil }
        return Self.time((year, month, day), (hour, minute, second), nanoseconds, offset: offset)
    }

    /// The time with these parts, `offset` seconds ahead of UTC; nil if there is none.
    static func time(
        _ date: (year: Int, month: Int, day: Int), _ clock: (hour: Int, minute: Int, second: Int),
        _ nanoseconds: UInt32, offset: Int
    ) -> Timestamp? {
        guard 1...12 ~= date.month, 1...daysIn(date.month, date.year) ~= date.day, clock.hour < 24, clock.minute < 60,
            clock.second < 60
        else { return nil }
        let days = Timestamp.days(year: date.year, month: date.month, day: date.day)
        let local = Int64(days) * 86_400 + Int64(clock.hour * 3600 + clock.minute * 60 + clock.second)
        let seconds = local - Int64(offset)
        // An offset may move a time out of the years that can be written again.
        guard writable ~= seconds else { return nil }
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }

    /// Seconds from 0001-01-01T00:00:00Z to the end of 9999-12-31.
    private static let writable: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    private static func daysIn(_ month: Int, _ year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private mutating func digits(_ count: Int, _ bytes: Span<UInt8>) -> Int? {
        guard at + count <= end else { return nil }
        var value = 0
        for _ in 0..<count {
            let digit = bytes[at] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
            at += 1
        }
        return value
    }

    private mutating func take(_ wanted: UInt8, _ bytes: Span<UInt8>, or other: UInt8? = nil) -> Bool {
        guard at < end, bytes[at] == wanted || bytes[at] == other else { return false }
        at += 1
        return true
    }

    private mutating func fraction(_ bytes: Span<UInt8>) -> UInt32? {
        guard at < end, bytes[at] == 0x2E else { return 0 }
        at += 1
        var value: UInt32 = 0
        var scale: UInt32 = 1_000_000_000
        while at < end, bytes[at] &- 0x30 < 10 {
            guard scale > 1 else { return nil }
            scale /= 10
            value += UInt32(bytes[at] &- 0x30) * scale
            at += 1
        }
        return scale == 1_000_000_000 ? nil : value
    }

    private mutating func offset(_ bytes: Span<UInt8>) -> Int? {
        guard at < end else { return nil }
        let sign = bytes[at]
        at += 1
        if sign | 0x20 == 0x7A { return 0 }
        guard sign == 0x2B || sign == 0x2D, let hours = digits(2, bytes), take(0x3A, bytes),
            let minutes = digits(2, bytes), hours < 24, minutes < 60
        else { return nil }
        let seconds = hours * 3600 + minutes * 60
        return sign == 0x2D ? -seconds : seconds
    }
}

/// The spelling of nearly every record, `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`, read in words: every character has a fixed place.
/// It is also how a time is written with nine digits (``Timestamp/write(digits:into:)``).
enum PlainTimestamp {
    private static let length = 30

    /// The time that `bytes[range]` spells; nil if it is spelt otherwise, or is none.
    static func read(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Timestamp? {
        guard range.count == length else { return nil }
        let text = BytePattern(bytes, range)
        guard let date = digits(text.word(0), "0000-00-"), let clock = digits(text.word(8), "00T00:00"),
            let second = digits(text.word(15), "0:00.000"), let fraction = digits(text.word(20), "00000000"),
            let end = digits(text.word(22), "0000000Z")
        else { return nil }
        let nanoseconds = number(fraction) &* 10 &+ (end >> 48 & 0xFF)
        return TimestampParser.time(
            (
                year: Int(pair(date, 0) &* 100 &+ pair(date, 16)), month: Int(pair(date, 40)),
                day: Int(pair(clock, 0))
            ), (hour: Int(pair(clock, 24)), minute: Int(pair(clock, 48)), second: Int(pair(second, 16))),
            UInt32(truncatingIfNeeded: nanoseconds), offset: 0)
    }

    /// Whether `value`, which was read as a time, is spelt so.
    static func isSpelt(_ value: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        let (start, end) = (value.range.lowerBound, value.range.upperBound)
        return value.count == length && !value.hasEscapes && bytes[start + 10] == 0x54 && bytes[end - 1] == 0x5A
    }

    /// `word` with the value of a digit where `shape` has a zero; nil if there is none, or something else than the shape has
    /// in another place.
    @inline(__always) private static func digits(_ word: UInt64, _ shape: StaticString) -> UInt64? {
        let form = unsafe UnsafeRawPointer(shape.utf8Start).loadUnaligned(as: UInt64.self).littleEndian
        let rest = word ^ form
        // What is added takes ten, or one where nothing may be left, to the top bit.
        let isDigit = ByteScan.equal(form, 0x30) & ByteScan.tops
        let added = ByteScan.ones &* 0x7F &- (isDigit >> 7) &* 9
        return (rest | (rest &+ added)) & ByteScan.tops == 0 ? rest : nil
    }

    /// The number of two digits, the first of them `shift` bits from the lowest.
    @inline(__always) private static func pair(_ digits: UInt64, _ shift: UInt64) -> UInt64 {
        (digits >> shift & 0xFF) &* 10 &+ (digits >> (shift &+ 8) & 0xFF)
    }

    /// The number of eight digits: pairs, then fours, then all (Lemire, "Quickly parsing eight digits").
    @inline(__always) private static func number(_ digits: UInt64) -> UInt64 {
        let pairs = digits &* 10 &+ (digits >> 8)
        let mask: UInt64 = 0x0000_00FF_0000_00FF
        return ((pairs & mask) &* 0x000F_4240_0000_0064 &+ ((pairs >> 16) & mask) &* 0x0000_2710_0000_0001) >> 32
    }
}

extension ProbeResult {
    /// Appends when the probe ran, as ``Timestamp/write(digits:into:)`` does with nine digits.
    public func writeExecutedAt(of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let value = self[.timestamp]
        if PlainTimestamp.isSpelt(value, bytes) {
            out.append(bytes, value.range)
        } else {
            executedAt.write(digits: 9, into: &out)
        }
    }

    /// Appends the date at which the probe ran, in UTC, as `YYYY.MM.DD`.
    public func writeExecutionDate(of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let value = self[.timestamp]
        let mark = out.count
        if PlainTimestamp.isSpelt(value, bytes) {
            out.append(bytes, value.range.prefix(10))
        } else {
            let (year, month, day) = executedAt.date
            Timestamp.pad(year, 4, &out)
            out.append(0x2D)
            Timestamp.pad(month, 2, &out)
            out.append(0x2D)
            Timestamp.pad(day, 2, &out)
        }
        out.replace(at: mark + 4, with: 0x2E)
        out.replace(at: mark + 7, with: 0x2E)
    }
}
