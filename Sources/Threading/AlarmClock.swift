internal import CTimer
internal import Glibc
internal import Model
internal import Synchronization

/// The one thread that waits for all alarms of the process.
///
/// An alarm that is put off, as one that guards a pause in a stream is with all that comes, costs the thread a look when
/// the earlier time is there, and nobody else anything: no task, and no timer of the system, is made or taken back.
///
/// It holds one entry for each alarm that is set.
@safe final class AlarmClock: Sendable {
    typealias Ring = @Sendable (Tick) -> Void

    private struct Entry {
        var due: Tick
        /// When the thread looks at it: `due`, or an earlier one that was set before.
        var look: Tick
        var ring: Ring
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        /// What the timer is set for.
        var next: Tick?
    }

    /// Of this process.
    static let shared = AlarmClock()

    private let state = Mutex(State())
    private let numbers = Atomic<UInt64>(0)
    private let timer: Int32

    private init() {
        timer = timerfd_create(CLOCK_BOOTTIME, SIDEREAL_TFD_CLOEXEC)
        precondition(timer >= 0, "no timer to be had: \(systemErrorText(errno)); raise the limit of open files")
        switch SystemThread.start({ self.run() }) {
        case .success(let thread): pthread_detach(thread)
        case .failure(let error): preconditionFailure("no thread to be had: \(error); raise the limit of threads")
        }
    }

    /// A name for a new alarm.
    func number() -> UInt64 { numbers.add(1, ordering: .relaxed).newValue }

    /// Has `ring` called at `due` with that time, and no longer at the time that was set before; nil: not at all.
    func set(_ number: UInt64, for due: Tick?, _ ring: @escaping Ring) {
        // What the former one holds may set alarms when it goes, so not under the lock.
        _ = state.withLock { state -> Entry? in
            let former = state.entries[number]
            guard let due else {
                state.entries[number] = nil
                return former
            }
            let look = min(former?.look ?? due, due)
            state.entries[number] = Entry(due: due, look: look, ring: ring)
            if state.next.map({ look < $0 }) ?? true { arm(&state, for: look) }
            return former
        }
    }

    private func arm(_ state: inout State, for next: Tick?) {
        state.next = next
        var time = itimerspec()
        if let next {
            // All zeros would turn it off.
            let nanoseconds = max(next.nanoseconds, 1)
            time.it_value.tv_sec = Int(clamping: nanoseconds / 1_000_000_000)
            time.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
        }
        // Fails only for a time that is none.
        unsafe timerfd_settime(timer, SIDEREAL_TFD_TIMER_ABSTIME, &time, nil)
    }

    private func run() {
        while true {
            var count: UInt64 = 0
            guard unsafe read(timer, &count, MemoryLayout<UInt64>.size) > 0 else { continue }
            for entry in takeDue(SystemClock.now()) { entry.ring(entry.due) }
        }
    }

    private func takeDue(_ now: Tick) -> [Entry] {
        state.withLock { state in
            var due: [Entry] = []
            for (number, entry) in state.entries.filter({ $0.value.look <= now }) {
                if entry.due <= now {
                    due.append(entry)
                    state.entries[number] = nil
                } else {
                    state.entries[number]?.look = entry.due
                }
            }
            arm(&state, for: state.entries.values.lazy.map(\.look).min())
            return due
        }
    }
}
