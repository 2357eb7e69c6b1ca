import ExportCore
import HTTPClient
import Model
import Threading

/// Sends to a token that acknowledges, and carries out what ``AckTracker`` decides.
///
/// Sends and polls go one after another over a client of one connection, so that a channel's numbers all come from the
/// indexer at its end; what changed the connection is known before the next request leaves. What one indexer then takes
/// is bounded by one request at a time, as without acknowledgements; only the waiting is shared by many.
actor SplunkAcknowledgement {
    private enum Outcome {
        case confirmed
        case unconfirmed(AckTracker.Cause)
        case closed
    }

    private struct Channel {
        var guid: String
        var cookies = StickyCookies()

        var headers: [HTTPHeader] { [HTTPHeader("X-Splunk-Request-Channel", guid)] + cookies.headers }
    }

    private let builder: SplunkRequestBuilder
    private let sender: HTTPSender
    private let client: HTTPClient
    private let settings: AckTracker.Settings
    private var tracker: AckTracker
    private var channels: [AckChannel: Channel] = [:]
    /// Channels of an earlier process by their GUID.
    private var earlier: [String: AckChannel] = [:]
    private var waiters: [AckTracker.Ticket: CheckedContinuation<Outcome, Never>] = [:]
    private var nextTicket: UInt64 = 0
    /// Some request is under way; the others queue here, each a permit or a poll.
    private var isBusy = false
    private var line: [CheckedContinuation<Void, Never>] = []
    private var alarm = Alarm()
    /// The token was seen to acknowledge.
    private var isChecked = false
    private var isClosed = false
    /// What the last poll that brought nothing was told.
    private var trouble: Reason?

    /// - Parameters:
    ///   - sender: over `client`.
    ///   - client: of one connection, for this target alone.
    init(builder: SplunkRequestBuilder, sender: HTTPSender, client: HTTPClient, settings: AckTracker.Settings) {
        self.builder = builder
        self.sender = sender
        self.client = client
        self.settings = settings
        tracker = AckTracker(settings)
    }

    /// Returns when the records are acknowledged, or it is clear that they are not.
    func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        var unconfirmed = 0
        if let receipt = parcel.receipt {
            switch await recall(receipt) {
            case .confirmed: return DeliveryAnswer(.delivered(slowDown: false))
            case .closed: return closedAnswer
            case .unconfirmed(let cause):
                await forget(cause, parcel)
                unconfirmed = parcel.count
            }
        }
        var answer = await sendAndWait(parcel)
        answer.unconfirmed += unconfirmed
        return answer
    }

    /// Whether the token acknowledges; nil if it was heard to.
    func probe() async -> Reason? {
        await enter()
        defer { leave() }
        return await check().doubt
    }

    /// The headers that a request needs for this token.
    nonisolated var probeHeaders: [HTTPHeader] { Channel(guid: Self.newGUID()).headers }

    /// Ends what waits: nothing of it is acknowledged.
    func close() async {
        isClosed = true
        alarm.cancel()
        let left = waiters.values
        waiters = [:]
        for waiter in left { waiter.resume(returning: .closed) }
        await client.shutdown()
    }

    private var closedAnswer: DeliveryAnswer {
        let message = "\(sender.place): stopped before the acknowledgement came"
        return DeliveryAnswer(.unknown(Reason(code: "stopped", message: message)))
    }

    private func recall(_ receipt: Receipt) async -> Outcome {
        let channel = earlier[receipt.channel] ?? tracker.recall()
        earlier[receipt.channel] = channel
        channels[channel] = channels[channel] ?? Channel(guid: receipt.channel)
        return await wait { .recalled($0, id: receipt.id, on: channel) }
    }

    private func sendAndWait(_ parcel: Parcel) async -> DeliveryAnswer {
        await enter()
        if !isChecked, let refused = await check().refused {
            leave()
            return DeliveryAnswer(refused)
        }
        let started = SystemClock.now()
        let (result, channel) = await transmit(parcel)
        let took = SystemClock.now().nanoseconds - started.nanoseconds
        let count = parcel.count
        guard case .success(let response) = result else {
            leave()
            if case .failure(let refusal) = result { return DeliveryAnswer(refusal.verdict) }
            return closedAnswer
        }
        let verdict = SplunkVerdict.of(response, count: count, at: sender.place)
        guard case .delivered = verdict else {
            leave()
            let (told, unconfirmed) = SplunkVerdict.unacknowledged(verdict, count: count, at: sender.place)
            var answer = DeliveryAnswer(told)
            answer.unconfirmed = unconfirmed
            return answer
        }
        guard let id = SplunkVerdict.Answer(response.body)?.ackID, let guid = channels[channel]?.guid else {
            // Not repeated at once: every repetition would be indexed again.
            isChecked = false
            leave()
            var answer = DeliveryAnswer(.configuration(Self.noNumber(sender.place)))
            answer.unconfirmed = count
            return answer
        }
        // In the ledger before anybody asks: the answer that says true is the only one there will be.
        _ = await parcel.remember?(Receipt(channel: guid, id: id))
        // The acknowledgement may take minutes, in which others would leave as if nothing had been said.
        if verdict == .delivered(slowDown: true) { await parcel.slowDown?() }
        leave()
        let outcome = await wait { .accepted($0, id: id, on: channel) }
        if case .unconfirmed(let cause) = outcome { await forget(cause, parcel) }
        var answer = finish(outcome, count)
        answer.requestNanoseconds = took
        return answer
    }

    /// A number that may be another request's must not be asked for by the next process either.
    private func forget(_ cause: AckTracker.Cause, _ parcel: Parcel) async {
        if cause == .ambiguous { _ = await parcel.remember?(nil) }
    }

    private func finish(_ outcome: Outcome, _ count: Int) -> DeliveryAnswer {
        switch outcome {
        case .confirmed: return DeliveryAnswer(.delivered(slowDown: false))
        case .closed: return closedAnswer
        case .unconfirmed(let cause):
            let why =
                switch cause {
                case .timeout: "did not acknowledge them within \(settings.waitMilliseconds / 1_000) s"
                case .connectionLost: "was not heard to acknowledge them after the connection, or an answer, was lost"
                case .ambiguous: "may have given their number twice; is the load balancer sticky?"
                }
            let told = trouble.map { "; the last question was answered: \($0.message)" } ?? ""
            var answer = DeliveryAnswer(
                .unknown(
                    Reason(
                        code: "unconfirmed-\(cause.rawValue)",
                        message: "\(sender.place) took \(count) events and \(why). They are sent again and may be"
                            + " there twice\(told)")))
            answer.unconfirmed = count
            return answer
        }
    }

    private static func noNumber(_ place: String) -> Reason {
        Reason(
            code: "no-ack-id",
            message: "\(place) took the events without a number to ask for them by; switch indexer acknowledgement on"
                + " for this token in Splunk, or set acknowledge: false")
    }

    /// Sends, on a new channel if the connection of the current one is gone.
    private func transmit(_ parcel: Parcel) async -> (Result<HTTPResponse, Refusal>, AckChannel) {
        while true {
            let (channel, isFresh) = tracker.channelForSend()
            let used = channels[channel] ?? Channel(guid: Self.newGUID())
            channels[channel] = used
            let headers = [HTTPHeader("Content-Type", "application/json")] + used.headers
            let result = await sender.post(parcel, to: builder.eventURL, headers, pinned: !isFresh)
            switch result {
            case .success(let response):
                channels[channel]?.cookies.take(response)
                if response.openedConnection { handle(.connectionChanged(current: channel)) }
            case .failure(let refusal):
                guard let failure = refusal.failure else { break }
                if failure.mayHaveReachedServer { handle(.sendLost(on: channel)) }
                handle(.connectionChanged(current: nil))
                if failure.kind == .noOpenConnection { continue }
            }
            return (result, channel)
        }
    }

    private func wait(_ event: (AckTracker.Ticket) -> AckTracker.Event) async -> Outcome {
        guard !isClosed else { return .closed }
        let ticket = AckTracker.Ticket(nextTicket)
        nextTicket += 1
        return await withCheckedContinuation { continuation in
            waiters[ticket] = continuation
            handle(event(ticket))
        }
    }

    private func handle(_ event: AckTracker.Event) {
        guard !isClosed else { return }
        for effect in tracker.handle(event, now: SystemClock.now()) {
            switch effect {
            case .poll(let channel, let ids): Task { await poll(channel, ids) }
            case .confirmed(let ticket): waiters.removeValue(forKey: ticket)?.resume(returning: .confirmed)
            case .unconfirmed(let ticket, let cause):
                waiters.removeValue(forKey: ticket)?.resume(returning: .unconfirmed(cause))
            }
        }
        if channels.count > 64 { forgetChannels() }
        alarm.set(for: tracker.nextTick) { time in Task { await self.wake(time) } }
    }

    /// Those that the tracker has forgotten, but for the one that a request may be under way on.
    private func forgetChannels() {
        let last = channels.keys.max()
        channels = channels.filter { tracker.knows($0.key) || $0.key == last }
        earlier = earlier.filter { channels[$0.value] != nil }
    }

    private func poll(_ name: AckChannel, _ ids: [Int64]) async {
        await enter()
        defer { leave() }
        guard let channel = channels[name], !isClosed else { return handle(.pollRefused(name)) }
        switch await ask(channel, ids) {
        case .success(let response):
            channels[name]?.cookies.take(response)
            if response.openedConnection { handle(.connectionChanged(current: nil)) }
            read(response, name)
        case .failure(let refusal):
            trouble = refusal.reason
            guard let failure = refusal.failure else { return handle(.pollRefused(name)) }
            handle(.connectionChanged(current: nil))
            handle(failure.mayHaveReachedServer ? .pollLost(name) : .pollRefused(name))
        }
    }

    private func read(_ response: HTTPResponse, _ name: AckChannel) {
        switch SplunkAckMessages.answer(response, at: sender.place) {
        case .ids(let confirmed):
            trouble = nil
            handle(.polled(name, confirmed: confirmed))
        case .refused(let reason):
            trouble = reason
            if reason.code == "hec-14" { isChecked = false }
            handle(.pollRefused(name))
        case .unreadable(let reason):
            trouble = reason
            handle(.pollLost(name))
        }
    }

    private func ask(_ channel: Channel, _ ids: [Int64]) async -> Result<HTTPResponse, Refusal> {
        let headers = [HTTPHeader("Content-Type", "application/json")] + channel.headers
        return await sender.send(
            .post, builder.ackURL + "?channel=\(channel.guid)", headers, SplunkAckMessages.question(ids))
    }

    /// Asks for a number nobody has, as a token that does not acknowledge says so (code 14). Otherwise the events would
    /// be indexed, and indexed again with every repetition, without anybody ever confirming them.
    ///
    /// - Returns: why nothing must be sent, if so; and why it is not known that the token acknowledges.
    private func check() async -> (refused: Verdict?, doubt: Reason?) {
        switch await ask(Channel(guid: Self.newGUID()), [0]) {
        case .success(let response):
            if response.openedConnection { handle(.connectionChanged(current: nil)) }
            let verdict = SplunkVerdict.of(response, count: 0, at: sender.place)
            if case .configuration(let reason) = verdict { return (verdict, reason) }
            switch SplunkAckMessages.answer(response, at: sender.place) {
            case .ids:
                isChecked = true
                return (nil, nil)
            case .refused(let reason), .unreadable(let reason): return (nil, reason)
            }
        case .failure(let refusal):
            if refusal.failure != nil { handle(.connectionChanged(current: nil)) }
            // Nothing of the records has left, whatever became of the question.
            guard case .unknown(let reason) = refusal.verdict else { return (refusal.verdict, refusal.reason) }
            return (.retry(reason, retryAfterMilliseconds: nil), reason)
        }
    }

    private func enter() async {
        guard isBusy else {
            isBusy = true
            return
        }
        await withCheckedContinuation { line.append($0) }
    }

    private func leave() {
        if line.isEmpty { isBusy = false } else { line.removeFirst().resume() }
    }

    private func wake(_ time: Tick) {
        if alarm.hasRung(time) { handle(.tick) }
    }

    /// A random UUID (RFC 9562, version 4), as channels are named by GUIDs.
    private static func newGUID() -> String {
        var random = SystemRandomNumberGenerator()
        var bytes = (random.next() as UInt64, random.next() as UInt64)
        bytes.0 = bytes.0 & ~0xF000 | 0x4000
        bytes.1 = bytes.1 & ~(0b11 << 62) | 0b10 << 62
        let digits = [bytes.0, bytes.1].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        var guid = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { guid.append("-") }
            guid.append(digit)
        }
        return guid
    }
}
