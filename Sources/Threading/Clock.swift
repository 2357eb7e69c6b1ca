import Glibc
public import Model

/// The clocks of this machine. Only shells may look at them; decisions take a `Tick`.
public enum SystemClock {
    /// Monotonic time, which also counts while the machine sleeps.
    public static func now() -> Tick {
        var time = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        return Tick(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, for what people read.
    public static func unixMilliseconds() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
