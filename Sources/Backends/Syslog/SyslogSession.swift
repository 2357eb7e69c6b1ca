import Model

/// Which step of opening a connection is under way.
enum SyslogStep: String, Sendable, Equatable {
    /// The host's name is looked up.
    case resolve
    /// TCP.
    case connect
    /// TLS.
    case handshake
}

/// How long each wait of a connection may last, milliseconds.
struct SyslogTiming: Sendable, Equatable {
    var resolve: UInt64 = 10_000
    var connect: UInt64 = 10_000
    var handshake: UInt64 = 10_000
    /// From the last byte that the receiver's TCP took until it is given up.
    var stall: UInt64 = 30_000
    /// From the first byte of a parcel until all of it was acknowledged by the receiver's TCP.
    var parcel: UInt64 = 120_000
    /// How long the connection must live on after that.
    var grace: UInt64 = 500
    /// A connection that carries nothing for so long is closed.
    var idle: UInt64 = 120_000
    /// How long the receiver's end of a connection that this side has closed is waited for.
    var linger: UInt64 = 1_000

    func limit(of step: SyslogStep) -> UInt64 {
        switch step {
        case .resolve: resolve
        case .connect: connect
        case .handshake: handshake
        }
    }
}

/// What became of a parcel.
enum SyslogFate: Sendable, Equatable {
    /// All of it was acknowledged by the receiver's TCP, and the connection lived on for the grace.
    case delivered
    /// Not a byte of it has left.
    case notSent(SyslogFailure)
    /// Nobody knows how much of it the receiver has.
    case unknown(SyslogFailure)
}

/// Decides what became of the parcels that one connection carries.
///
/// Syslog over TLS has no acknowledgement (RFC 5425, section 4.3: a sender does not learn what was processed). What comes
/// closest is that the receiver's TCP acknowledged the last byte and the connection did not break for a while after that.
///
/// Promises:
/// 1. Every submitted parcel is settled exactly once.
/// 2. It is settled as delivered only when the receiver's TCP has acknowledged all its bytes and ``SyslogTiming/grace``
///    has passed since, at a time at which the connection was seen to be alive.
/// 3. When the connection ends, every parcel that is not past its grace is unknown, and so are parcels sent in part: the
///    whole window is sent again.
/// 4. Every wait has a deadline.
///
/// Events are to come with the time at which they were observed: `tick` with a time at which the connection was found
/// alive, not with a later one.
struct SyslogSession: Sendable {
    /// Names a parcel.
    typealias ParcelID = Int

    enum Event: Sendable {
        /// A parcel wants to leave; ask ``canTake`` first.
        case submit(ParcelID)
        /// This step of opening has begun.
        case began(SyslogStep)
        /// The connection is open.
        case opened
        /// The first bytes of the current parcel are about to be handed to the system.
        case started
        /// The system has taken this many bytes in all.
        case wrote(UInt64)
        /// The current parcel's last byte is among them.
        case finished
        /// The receiver's TCP has acknowledged this many bytes in all.
        case acknowledged(UInt64)
        /// The connection is no more, or of no more use.
        case ended(SyslogFailure)
        /// No further parcels: its certificates were replaced, or the exporter ends.
        case retire
        /// Time has passed, and the connection is alive.
        case tick
    }

    enum Effect: Sendable, Equatable {
        /// Write this parcel.
        case write(ParcelID)
        /// Tell the parcel's owner.
        case settle(ParcelID, SyslogFate)
        /// Close the connection; `politely` if it is still of use, so that the receiver reads all that is on the way.
        case close(politely: Bool)
    }

    private enum Phase: Equatable { case opening(SyslogStep, until: Tick), open, ended }

    private struct Current {
        var id: ParcelID
        var isStarted = false
        var since: Tick
    }

    /// A parcel whose last byte the system has taken.
    private struct Entry {
        var id: ParcelID
        /// Where it ends in the stream.
        var end: UInt64
        var since: Tick
        var acknowledgedAt: Tick?
    }

    private let timing: SyslogTiming
    private var phase: Phase
    private var current: Current?
    private var window: [Entry] = []
    private var written: UInt64 = 0
    private var acknowledged: UInt64 = 0
    /// When ``acknowledged`` was learnt.
    private var seenAt: Tick
    private var lastProgress: Tick
    private var lastUse: Tick
    private var isRetired = false
    /// Why it did not come to be open.
    private(set) var openingFailure: SyslogFailure?

    /// A connection that is about to be opened.
    init(timing: SyslogTiming, now: Tick) {
        self.timing = timing
        phase = .opening(.resolve, until: now.adding(milliseconds: timing.resolve))
        seenAt = now
        lastProgress = now
        lastUse = now
    }

    /// Whether another parcel may be submitted. One is written at a time; those behind it may still be in their grace.
    var canTake: Bool { phase != .ended && !isRetired && current == nil }
    /// Whether it is open.
    var isOpen: Bool { phase == .open }
    /// Whether it has ended.
    var hasEnded: Bool { phase == .ended }
    /// Whether no further parcels are taken.
    var isClosing: Bool { isRetired || phase == .ended }
    /// Whether bytes are on the way whose acknowledgement has to be looked for.
    var awaitsAcknowledgement: Bool { phase == .open && acknowledged < written }

    /// When to send `tick` next.
    var nextTick: Tick? {
        switch phase {
        case .ended: return nil
        case .opening(_, let until): return until
        case .open:
            guard !isIdle else { return lastUse.adding(milliseconds: timing.idle) }
            var next = window.first?.acknowledgedAt?.adding(milliseconds: timing.grace)
            for (_, deadline) in deadlines where next.map({ deadline < $0 }) ?? true { next = deadline }
            return next
        }
    }

    private var isIdle: Bool { current == nil && window.isEmpty }

    /// What is given up at the latest, and when.
    private var deadlines: [(SyslogFailure, Tick)] {
        var found: [(SyslogFailure, Tick)] = []
        let begun = current.flatMap { $0.isStarted ? $0.since : nil }
        guard let oldest = window.first(where: { $0.acknowledgedAt == nil })?.since ?? begun else { return [] }
        found.append((.stalled(timing.stall), lastProgress.adding(milliseconds: timing.stall)))
        found.append((.slow(timing.parcel), oldest.adding(milliseconds: timing.parcel)))
        return found
    }

    mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        guard phase != .ended else { return [] }
        switch event {
        case .submit(let id):
            precondition(canTake)
            current = Current(id: id, since: now)
            return phase == .open ? [.write(id)] : []
        case .began(let step):
            phase = .opening(step, until: now.adding(milliseconds: timing.limit(of: step)))
            return []
        case .opened:
            phase = .open
            (lastProgress, lastUse) = (now, now)
            return current.map { [.write($0.id)] } ?? closeIfDone()
        case .started:
            guard current?.isStarted == false else { return [] }
            current?.isStarted = true
            current?.since = now
            if !awaitsAcknowledgement { lastProgress = now }
            return []
        case .wrote(let total):
            // What only fills this machine's buffer is no progress of the receiver.
            if total > written, written <= acknowledged { lastProgress = now }
            written = max(written, total)
            return []
        case .finished:
            guard let done = current else { return [] }
            current = nil
            window.append(Entry(id: done.id, end: written, since: done.since))
            mark(now)
            return closeIfDone()
        case .acknowledged(let total):
            if total > acknowledged { (acknowledged, seenAt, lastProgress) = (total, now, now) }
            mark(now)
            return []
        case .ended(let failure): return end(failure)
        case .retire:
            isRetired = true
            return closeIfDone()
        case .tick: return tick(now)
        }
    }

    private mutating func mark(_ now: Tick) {
        for index in window.indices where window[index].acknowledgedAt == nil && window[index].end <= acknowledged {
            // Other events may come with an earlier time than the acknowledgement did.
            window[index].acknowledgedAt = max(now, seenAt)
        }
    }

    private mutating func tick(_ now: Tick) -> [Effect] {
        if case .opening(let step, let until) = phase {
            guard until <= now else { return [] }
            return end(.timeout(step, timing.limit(of: step))) + [.close(politely: false)]
        }
        var effects: [Effect] = []
        while let at = window.first?.acknowledgedAt, at.adding(milliseconds: timing.grace) <= now {
            effects.append(.settle(window.removeFirst().id, .delivered))
            lastUse = now
        }
        if let (failure, _) = deadlines.first(where: { $0.1 <= now }) {
            return effects + end(failure) + [.close(politely: false)]
        }
        if isIdle, lastUse.adding(milliseconds: timing.idle) <= now { isRetired = true }
        return effects + closeIfDone()
    }

    /// A connection that takes nothing more is closed when nothing is left to watch.
    private mutating func closeIfDone() -> [Effect] {
        guard isRetired, isIdle, phase == .open else { return [] }
        phase = .ended
        return [.close(politely: true)]
    }

    private mutating func end(_ failure: SyslogFailure) -> [Effect] {
        var effects = window.map { Effect.settle($0.id, .unknown(failure)) }
        if let current {
            effects.append(.settle(current.id, current.isStarted ? .unknown(failure) : .notSent(failure)))
        }
        if phase != .open { openingFailure = failure }
        window = []
        current = nil
        phase = .ended
        return effects
    }
}
