internal import Model

/// Milliseconds since 1970-01-01T00:00:00Z, as CEF and LEEF write points in time.
struct EpochMilliseconds {
    let value: Int64

    init(value: Int64) { self.value = value }

    /// What is finer than a millisecond is cut.
    init(_ time: Timestamp) { value = time.seconds &* 1000 &+ Int64(time.nanoseconds / 1_000_000) }

    /// The last millisecond of the year 9999.
    private static let last: Int64 = 253_402_300_799_999

    /// The time `milliseconds` later; nil if they are negative or lead past the year 9999.
    func adding(_ milliseconds: Int64) -> EpochMilliseconds? {
        let (sum, overflows) = value.addingReportingOverflow(milliseconds)
        guard milliseconds >= 0, !overflows, sum <= Self.last else { return nil }
        return EpochMilliseconds(value: sum)
    }

    /// Whether the number has the 13 digits by which receivers tell it from one of seconds: from 2001-09-09 until
    /// 2286-11-20.
    var hasThirteenDigits: Bool { 1_000_000_000_000..<10_000_000_000_000 ~= value }

    /// The digits of a number that ``hasThirteenDigits``.
    var digits: InlineArray<13, UInt8> {
        let number = UInt64(truncatingIfNeeded: value)
        let high = Self.eightDigits(UInt32(truncatingIfNeeded: number / 100_000_000))
        let low = Self.eightDigits(UInt32(truncatingIfNeeded: number % 100_000_000))
        return InlineArray { index in
            UInt8(truncatingIfNeeded: index < 5 ? high >> UInt64(24 &+ 8 &* index) : low >> UInt64(8 &* (index &- 5)))
        }
    }

    /// The eight decimal digits of `number` as characters, the first in the lowest byte: each division handles all
    /// parts of the word at once, by multiplication with a rounded reciprocal.
    private static func eightDigits(_ number: UInt32) -> UInt64 {
        let fours = UInt64(number / 10_000) | UInt64(number % 10_000) << 32
        let hundreds = (fours &* 10_486) >> 20 & 0x0000_007F_0000_007F
        let twos = hundreds | (fours &- hundreds &* 100) << 16
        let tens = (twos &* 103) >> 10 & 0x000F_000F_000F_000F
        return (tens | (twos &- tens &* 10) << 8) &+ 0x3030_3030_3030_3030
    }

    /// Appends the number; a time before 1970 as a date.
    func write(into out: inout ByteWriter) {
        if hasThirteenDigits {
            out.append(digits.span)
        } else if value >= 0 {
            out.append(decimal: UInt64(value))
        } else {
            writeDate(into: &out)
        }
    }

    /// The pattern of ``writeDate(into:)``, one of those the CEF implementation standard and the LEEF guide name.
    static let datePattern: StaticString = "MMM dd yyyy HH:mm:ss.SSS zzz"

    /// Appends the time after ``datePattern``, in UTC. A year outside 0 to 9999, which only a UTC offset can lead to,
    /// is written as the nearest one inside.
    func writeDate(into out: inout ByteWriter) {
        let thousandths = Int((value % 1000 + 1000) % 1000)
        let time = Timestamp(seconds: (value - Int64(thousandths)) / 1000, nanoseconds: 0)
        let (year, month, day) = time.date
        let second = time.secondOfDay
        out.append(Self.monthName(month))
        out.append(0x20)
        Timestamp.pad(day, 2, &out)
        out.append(0x20)
        Timestamp.pad(min(max(year, 0), 9999), 4, &out)
        out.append(0x20)
        Timestamp.pad(second / 3600, 2, &out)
        out.append(0x3A)
        Timestamp.pad(second / 60 % 60, 2, &out)
        out.append(0x3A)
        Timestamp.pad(second % 60, 2, &out)
        out.append(0x2E)
        Timestamp.pad(thousandths, 3, &out)
        out.append(" UTC")
    }

    private static func monthName(_ month: Int) -> StaticString {
        switch month {
        case 1: "Jan"
        case 2: "Feb"
        case 3: "Mar"
        case 4: "Apr"
        case 5: "May"
        case 6: "Jun"
        case 7: "Jul"
        case 8: "Aug"
        case 9: "Sep"
        case 10: "Oct"
        case 11: "Nov"
        default: "Dec"
        }
    }
}
