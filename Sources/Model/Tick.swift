/// A point on a monotonic clock, in nanoseconds since an origin that means nothing by itself.
///
/// All decisions take their time as a `Tick` parameter, so that a simulation can run them on a clock of its own.
public struct Tick: Comparable, Hashable, Sendable {
    /// Nanoseconds since the clock's origin.
    public var nanoseconds: UInt64

    /// A tick at `nanoseconds` since the origin.
    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Orders by time.
    @inlinable public static func < (a: Tick, b: Tick) -> Bool { a.nanoseconds < b.nanoseconds }

    /// `milliseconds` later; saturates at the end of time.
    @inlinable public func adding(milliseconds: UInt64) -> Tick {
        let (product, tooLarge) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, over) = nanoseconds.addingReportingOverflow(product)
        return Tick(nanoseconds: tooLarge || over ? .max : sum)
    }

    /// `milliseconds` earlier, or the clock's origin.
    @inlinable public func subtracting(milliseconds: UInt64) -> Tick {
        let (product, tooLarge) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        return Tick(nanoseconds: tooLarge || product > nanoseconds ? 0 : nanoseconds - product)
    }

    /// Whole milliseconds from `earlier` to here; zero if `earlier` is later.
    @inlinable public func milliseconds(since earlier: Tick) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000_000 : 0
    }
}
