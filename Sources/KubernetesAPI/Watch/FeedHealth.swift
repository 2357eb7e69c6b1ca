public import Model

/// Since when a reader of lists and watches is not told what it should be.
///
/// A list that works says nothing of the watch, and the other way round. A watch works when it tells something, when it ends in
/// good order, and when it has been open for ``settleMilliseconds``: a server that has nothing to tell need not say so (it may
/// send bookmarks, and may not), and one whose watches break as soon as they are open is not one that works.
public struct FeedHealth: Sendable {
    /// How long a watch is open before its silence is that of a server with nothing to tell.
    package static let settleMilliseconds: UInt64 = 2_000

    private var failing: (list: Tick?, watch: Tick?)
    private var watchOpen: Tick?

    /// Nothing was tried yet.
    public init() {}

    /// A page has arrived.
    public mutating func listed() { failing.list = nil }

    /// A page has not arrived.
    public mutating func listFailed(_ now: Tick) { failing.list = failing.list ?? now }

    /// The server has answered that it will tell what happens.
    public mutating func watchOpened(_ now: Tick) { watchOpen = now }

    /// It has told something, and be it how far it is.
    public mutating func watchTold() { failing.watch = nil }

    /// Another one is asked for.
    public mutating func watchLeft(_ now: Tick) {
        settle(now)
        watchOpen = nil
    }

    /// It is over.
    ///
    /// - Parameter isFailure: false: the server ended it in good order.
    public mutating func watchEnded(isFailure: Bool, _ now: Tick) {
        watchLeft(now)
        failing.watch = isFailure ? failing.watch ?? now : nil
    }

    /// How it stands.
    public func standing(_ now: Tick) -> ObjectFeed.Standing {
        let watch = isSettled(now) ? nil : failing.watch
        return ObjectFeed.Standing(
            failingSince: [failing.list, watch].compactMap { $0 }.min(), isWatching: watchOpen != nil)
    }

    private mutating func settle(_ now: Tick) {
        if isSettled(now) { failing.watch = nil }
    }

    private func isSettled(_ now: Tick) -> Bool {
        watchOpen.map { now.milliseconds(since: $0) >= Self.settleMilliseconds } ?? false
    }
}
