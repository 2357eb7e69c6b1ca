public import Model

/// Names a channel within one process; the shell gives it its GUID.
public struct AckChannel: Hashable, Sendable, Comparable {
    /// Counts up from zero.
    public var number: UInt64

    /// Channel `number`.
    public init(_ number: UInt64) { self.number = number }

    /// Orders by age.
    public static func < (a: AckChannel, b: AckChannel) -> Bool { a.number < b.number }
}

/// Decides when a receiver is asked whether it has indexed what it took, and what its answers mean (Splunk, "About HTTP
/// Event Collector Indexer Acknowledgment").
///
/// A number is true once: whoever misses that answer never gets another. And a number means something only to the
/// indexer that gave it, so a channel is used over one connection only, the one it was opened on.
///
/// Promises:
/// 1. A ticket is confirmed only by an answer that calls its own number, on its own channel, true. A refusal, silence or
///    an answer that cannot be read confirms nothing.
/// 2. Every ticket ends confirmed or unconfirmed, within the settings' wait and one poll.
/// 3. What was unconfirmed is never confirmed later; its channel carries nothing more.
/// 4. Two requests that got the same number on one channel are both unconfirmed: nobody can say whose `true` it would be.
/// 5. All numbers of a channel are asked for in one request, and never by two requests at once.
///
/// 6. A request whose answer is lost has a number that nobody knows. It is one above the channel's last, or, if another
///    indexer took it or the same one after a restart, the first number there is: what waits under the first number of
///    its channel is then unconfirmed, and the channel carries nothing more.
/// 7. Once a balancer shows that spreads the requests of one connection, every request gets a channel of its own.
///
/// Not promised: promise 6 for a request that was under way when the process died.
public struct AckTracker: Sendable {
    /// Names what waits for confirmation.
    public struct Ticket: Hashable, Sendable {
        /// Any number that is not in use.
        public var number: UInt64

        /// Ticket `number`.
        public init(_ number: UInt64) { self.number = number }
    }

    /// Times in milliseconds, and the bound.
    public struct Settings: Sendable, Equatable {
        /// Until the first poll, and after one that confirmed something: indexing takes about a second at best.
        public var pollMilliseconds: UInt64 = 1_000
        /// Longest time between polls. They double while nothing is confirmed, as a busy indexer is not helped by being
        /// asked.
        public var maxPollMilliseconds: UInt64 = 10_000
        /// From the acceptance until a request counts as lost.
        public var waitMilliseconds: UInt64 = 300_000
        /// The same once the connection is gone, or the answer to a poll: then most numbers are worth nothing any more.
        public var graceMilliseconds: UInt64 = 30_000
        /// Numbers that one channel carries at once.
        public var maxPerChannel = 128

        /// The defaults, with another wait.
        public init(waitMilliseconds: UInt64 = 300_000) { self.waitMilliseconds = waitMilliseconds }
    }

    /// What happens to it.
    public enum Event: Sendable {
        /// The receiver took a request on this channel under this number.
        case accepted(Ticket, id: Int64, on: AckChannel)
        /// An earlier process had this number; the channel is one from ``AckTracker/recall()``.
        case recalled(Ticket, id: Int64, on: AckChannel)
        /// The answer to a poll: the numbers it calls true.
        case polled(AckChannel, confirmed: Set<Int64>)
        /// A poll was refused: no number was given away by it.
        case pollRefused(AckChannel)
        /// The answer to a poll was lost or cannot be read: it may have been the one that said true.
        case pollLost(AckChannel)
        /// A request left on this channel, and nobody knows what became of it.
        case sendLost(on: AckChannel)
        /// The connection is gone that every channel but `current` was used over.
        case connectionChanged(current: AckChannel?)
        /// Time has passed.
        case tick
    }

    /// What is to be done, in this order.
    public enum Effect: Sendable, Equatable {
        /// Ask for these numbers, then answer with `polled`, `pollRefused` or `pollLost`.
        case poll(AckChannel, [Int64])
        /// The receiver has it for good.
        case confirmed(Ticket)
        /// Nobody knows; it must be sent again.
        case unconfirmed(Ticket, Cause)
    }

    /// Why something is unconfirmed.
    public enum Cause: String, Sendable, Equatable {
        /// Not called true in time.
        case timeout
        /// Not called true, and the connection or the answer to a poll was lost.
        case connectionLost
        /// Its number was given twice, or may have been.
        case ambiguous
    }

    private struct Pending {
        var ticket: Ticket
        var deadline: Tick
        var cause = Cause.timeout
    }

    private struct Channel {
        var live: [Int64: Pending] = [:]
        /// Given up, and yet some indexer may still call them true.
        var doubtful: Set<Int64> = []
        var first: Int64?
        var highest: Int64 = -1
        /// More may be sent on it.
        var isOpen: Bool
        /// Its connection is gone.
        var isLost = false
        /// What the poll under way asks for; empty if there is none.
        var asked: [Int64] = []
        var interval: UInt64
        var nextPoll: Tick?

        var due: Tick? {
            guard asked.isEmpty, !live.isEmpty else { return nil }
            return live.values.reduce(nextPoll ?? Tick(nanoseconds: .max)) { min($0, $1.deadline) }
        }
    }

    private let settings: Settings
    private var channels: [AckChannel: Channel] = [:]
    private var current: AckChannel?
    private var nextNumber: UInt64 = 0
    /// Numbers did not ascend: one connection does not mean one indexer here.
    private var isSpread = false

    /// A tracker of one target.
    public init(_ settings: Settings) {
        precondition(settings.pollMilliseconds > 0 && settings.pollMilliseconds <= settings.maxPollMilliseconds)
        precondition(settings.maxPerChannel > 0)
        self.settings = settings
    }

    /// Tickets that wait.
    public var outstanding: Int { channels.values.reduce(0) { $0 + $1.live.count } }

    /// Whether something may still be asked or sent on a channel.
    public func knows(_ channel: AckChannel) -> Bool { channels[channel] != nil }

    /// When to send `tick` next; nil if nothing waits for time.
    public var nextTick: Tick? { channels.values.compactMap(\.due).min() }

    /// The channel for the next request. If it is fresh, any connection will do; if not, only the one it was used over.
    public mutating func channelForSend() -> (channel: AckChannel, isFresh: Bool) {
        if let current, let state = channels[current], state.isOpen, state.live.count < settings.maxPerChannel {
            return (current, false)
        }
        let fresh = add(isOpen: true)
        current = fresh
        return (fresh, true)
    }

    /// A channel for numbers of an earlier process.
    public mutating func recall() -> AckChannel { add(isOpen: false) }

    private mutating func add(isOpen: Bool) -> AckChannel {
        let channel = AckChannel(nextNumber)
        nextNumber += 1
        channels[channel] = Channel(isOpen: isOpen && !isSpread, interval: settings.pollMilliseconds)
        return channel
    }

    /// Takes an event and returns what to do.
    public mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .accepted(let ticket, let id, let name):
            accept(ticket, id, name, now.adding(milliseconds: settings.waitMilliseconds), now, &effects)
        case .recalled(let ticket, let id, let name):
            let unknown = closed
            channels[name, default: unknown].isLost = true
            let grace = min(settings.graceMilliseconds, settings.waitMilliseconds)
            accept(ticket, id, name, now.adding(milliseconds: grace), now, &effects)
            channels[name]?.live[id]?.cause = .connectionLost
            channels[name]?.nextPoll = now
        case .polled(let name, let confirmed):
            finishPoll(name, confirmed, now, &effects)
        case .pollRefused(let name):
            finishPoll(name, [], now, &effects)
        case .pollLost(let name):
            for id in channels[name]?.asked ?? [] { shorten(id, of: name, now) }
            finishPoll(name, [], now, &effects)
        case .sendLost(let name):
            channels[name]?.isOpen = false
            guard let first = channels[name]?.first, let pending = channels[name]?.live[first] else { break }
            channels[name]?.live[first] = nil
            channels[name]?.doubtful.insert(first)
            effects.append(.unconfirmed(pending.ticket, .ambiguous))
        case .connectionChanged(let kept):
            for name in channels.keys where name != kept { lose(name, now) }
            if current != kept { current = nil }
        case .tick: break
        }
        sweep(now, &effects)
        return effects
    }

    private var closed: Channel { Channel(isOpen: false, interval: settings.pollMilliseconds) }

    private mutating func accept(
        _ ticket: Ticket, _ id: Int64, _ name: AckChannel, _ deadline: Tick, _ now: Tick, _ effects: inout [Effect]
    ) {
        var channel = channels[name] ?? closed
        if id <= channel.highest, !channel.isLost { isSpread = true }
        if let other = channel.live[id] {
            effects.append(.unconfirmed(other.ticket, .ambiguous))
            channel.live[id] = nil
            channel.doubtful.insert(id)
        }
        if channel.doubtful.contains(id) {
            effects.append(.unconfirmed(ticket, .ambiguous))
            channel.isOpen = false
        } else {
            channel.live[id] = Pending(ticket: ticket, deadline: deadline)
            channel.highest = max(channel.highest, id)
            channel.first = channel.first ?? id
        }
        if isSpread { channel.isOpen = false }
        if channel.nextPoll == nil { channel.nextPoll = now.adding(milliseconds: channel.interval) }
        channels[name] = channel
    }

    private mutating func finishPoll(
        _ name: AckChannel, _ confirmed: Set<Int64>, _ now: Tick, _ effects: inout [Effect]
    ) {
        guard var channel = channels[name], !channel.asked.isEmpty else { return }
        var progress = false
        for id in channel.asked where confirmed.contains(id) {
            guard let pending = channel.live.removeValue(forKey: id) else { continue }
            effects.append(.confirmed(pending.ticket))
            progress = true
        }
        channel.asked = []
        channel.interval =
            progress ? settings.pollMilliseconds : min(channel.interval * 2, settings.maxPollMilliseconds)
        channel.nextPoll = now.adding(milliseconds: channel.interval)
        channels[name] = channel
    }

    private mutating func shorten(_ id: Int64, of name: AckChannel, _ now: Tick) {
        guard let deadline = channels[name]?.live[id]?.deadline else { return }
        channels[name]?.live[id]?.deadline = min(deadline, now.adding(milliseconds: settings.graceMilliseconds))
        channels[name]?.live[id]?.cause = .connectionLost
    }

    private mutating func lose(_ name: AckChannel, _ now: Tick) {
        channels[name]?.isOpen = false
        guard channels[name]?.isLost == false else { return }
        channels[name]?.isLost = true
        for id in channels[name]?.live.keys.sorted() ?? [] { shorten(id, of: name, now) }
        channels[name]?.interval = settings.pollMilliseconds
        channels[name]?.nextPoll = now
    }

    /// Gives up what is overdue, polls what is due, forgets what is empty.
    private mutating func sweep(_ now: Tick, _ effects: inout [Effect]) {
        for name in channels.keys.sorted() {
            // The answer to a poll under way may still save what is overdue.
            guard var channel = channels[name], channel.asked.isEmpty else { continue }
            for id in channel.live.keys.sorted() {
                guard let pending = channel.live[id], pending.deadline <= now else { continue }
                effects.append(.unconfirmed(pending.ticket, pending.cause))
                channel.live[id] = nil
                channel.doubtful.insert(id)
                channel.isOpen = false
            }
            if !channel.live.isEmpty, let due = channel.nextPoll, due <= now {
                channel.asked = channel.live.keys.sorted()
                effects.append(.poll(name, channel.asked))
            }
            if channel.live.isEmpty { channel.nextPoll = nil }
            let isDone = channel.live.isEmpty && !channel.isOpen
            channels[name] = isDone ? nil : channel
        }
    }
}
