import Crypto
import Glibc
import HTTPClient
import Model
import Threading

/// Carries out what ``SyslogSession`` decides for one connection: sockets and TLS. For the loop's thread only.
final class SyslogConnection {
    /// A parcel that is told to the loop as settled.
    typealias Settled = (id: SyslogSession.ParcelID, fate: SyslogFate)

    /// Which version of the secret's files it was made with.
    let generation: Int
    private(set) var session: SyslogSession
    /// What the loop has to tell the owners of parcels.
    private(set) var settled: [Settled] = []
    private var hasToldFailure = false

    private let host: String
    private let stall: UInt64
    private let linger: UInt64
    private let material: SyslogAccess.Material
    private var addresses: [SocketAddress] = []
    private var socket: TCPSocket?
    private var tls: TLSConnection?
    private var isConnecting = false
    private var connectDeadline: Tick?
    private var lastConnectError = SyslogFailure.connect(EHOSTUNREACH)
    private var parcels: [SyslogSession.ParcelID: SealedBytes] = [:]
    /// What is being written, and how much of it is in `outgoing` or gone.
    private var current: (id: SyslogSession.ParcelID, at: Int)?
    private var outgoing = ByteWriter(capacity: 128 << 10)
    private var outgoingAt = 0
    private var sent: UInt64 = 0
    private var heard = 0
    private var incoming = [UInt8](repeating: 0, count: 16 << 10)
    private var discarded = ByteWriter(capacity: 16 << 10)
    private var lingersUntil: Tick?

    /// Plaintext that is encrypted at a time.
    private static let pieceBytes = 64 << 10
    /// Bytes written before the loop looks after its other connections.
    private static let turnBytes = 1 << 20
    /// A syslog receiver has nothing to say (RFC 5425, section 4.3); what it says all the same is discarded up to here.
    private static let maxHeardBytes = 64 << 10

    init(host: String, material: SyslogAccess.Material, timing: SyslogTiming, now: Tick) {
        self.host = host
        self.material = material
        generation = material.generation
        // Later than the session gives up by itself, which says more than the system's error.
        stall = 2 * timing.stall
        linger = timing.linger
        session = SyslogSession(timing: timing, now: now)
    }

    /// Whether nothing is left to do with it.
    var isGone: Bool { session.hasEnded && socket == nil }

    /// What poll(2) should wait for; nil if there is no socket yet.
    var interest: pollfd? {
        guard let socket else { return nil }
        let writes = isConnecting || outgoingAt < outgoing.count || (current != nil && session.isOpen)
        let events = Int16(POLLIN) | (writes ? Int16(POLLOUT) : 0)
        return pollfd(fd: socket.descriptor, events: events, revents: 0)
    }

    /// When it wants to be looked after at the latest.
    var nextTick: Tick? {
        if session.hasEnded { return lingersUntil }
        var next = session.nextTick
        if let connectDeadline, next.map({ connectDeadline < $0 }) ?? true { next = connectDeadline }
        return next
    }

    /// Hands over what the owners of parcels are to be told.
    func takeSettled() -> [Settled] {
        defer { settled = [] }
        return settled
    }

    /// Hands over why it did not come to be open, once.
    func takeOpeningFailure() -> SyslogFailure? {
        guard !hasToldFailure, let failure = session.openingFailure else { return nil }
        hasToldFailure = true
        return failure
    }

    /// Takes a parcel.
    func submit(_ id: SyslogSession.ParcelID, _ bytes: SealedBytes, now: Tick) {
        parcels[id] = bytes
        perform(session.handle(.submit(id), now: now), now)
        pump(now)
    }

    /// Takes no more parcels.
    func retire(now: Tick) { perform(session.handle(.retire, now: now), now) }

    /// Ends it: what is not past its grace is not acknowledged.
    func stop(now: Tick) {
        guard !session.hasEnded else { return }
        let wasOpen = session.isOpen
        perform(session.handle(.ended(.stopped), now: now), now)
        if wasOpen { closePolitely(now) } else { socket = nil }
    }

    /// Whether the parcel is with it, and not settled.
    func carries(_ id: SyslogSession.ParcelID) -> Bool { parcels[id] != nil }

    /// Ends it at once: of what the system has not sent yet, nothing more leaves.
    func cutOff(now: Tick) {
        socket?.discardsWhenClosed()
        end(.cutOff, now)
    }

    /// The host's addresses are known, or not to be had.
    func resolved(_ result: Result<[SocketAddress], SyslogFailure>, now: Tick) {
        guard !session.hasEnded, socket == nil, addresses.isEmpty else { return }
        switch result {
        case .failure(let failure): end(failure, now)
        case .success(let found):
            addresses = found
            perform(session.handle(.began(.connect), now: now), now)
            connectNext(now)
        }
    }

    /// Does what can be done without waiting. `now` must not be later than the moment of the call.
    func service(_ events: Int16, now: Tick) {
        if session.hasEnded { return lingering(events, now) }
        if isConnecting {
            if events != 0 { finishConnecting(now) } else { giveUpAddress(now) }
            guard !isConnecting else { return perform(session.handle(.tick, now: now), now) }
        }
        if socket != nil, session.isOpen || tls != nil {
            // First what was acknowledged, then whether the connection is alive: only in this order does the second
            // vouch for the first.
            if session.awaitsAcknowledgement, let socket {
                let waiting = UInt64(socket.unacknowledged)
                // The grace begins when the acknowledgement was seen; `now` may be long past if the process stood still.
                let seen = SystemClock.now()
                if waiting <= sent { perform(session.handle(.acknowledged(sent - waiting), now: seen), now) }
            }
            hear(now)
            pump(now)
        }
        perform(session.handle(.tick, now: now), now)
    }

    private func perform(_ effects: [SyslogSession.Effect], _ now: Tick) {
        for effect in effects {
            switch effect {
            case .write(let id): current = (id, 0)
            case .settle(let id, let fate):
                parcels[id] = nil
                if current?.id == id { current = nil }
                settled.append((id, fate))
            case .close(let politely): if politely { closePolitely(now) } else { socket = nil }
            }
        }
    }

    private func end(_ failure: SyslogFailure, _ now: Tick) {
        perform(session.handle(.ended(failure), now: now), now)
        socket = nil
    }
}

// MARK: - Opening

extension SyslogConnection {
    private func connectNext(_ now: Tick) {
        isConnecting = false
        while !addresses.isEmpty {
            let address = addresses.removeFirst()
            do throws(SystemError) {
                socket = try TCPSocket(connectingTo: address, stall: stall)
                isConnecting = true
                // The others get their share of what is left of the time.
                let left = session.nextTick.map { $0.milliseconds(since: now) } ?? 0
                connectDeadline =
                    addresses.isEmpty ? nil : now.adding(milliseconds: left / UInt64(addresses.count + 1))
                return
            } catch {
                lastConnectError = .connect(error.code)
            }
        }
        end(lastConnectError, now)
    }

    private func giveUpAddress(_ now: Tick) {
        guard let connectDeadline, connectDeadline <= now else { return }
        lastConnectError = .connect(ETIMEDOUT)
        connectNext(now)
    }

    private func finishConnecting(_ now: Tick) {
        guard let socket else { return }
        let code = socket.connectError()
        guard code == 0 else {
            lastConnectError = .connect(code)
            return connectNext(now)
        }
        isConnecting = false
        connectDeadline = nil
        addresses = []
        guard let context = material.context else { return perform(session.handle(.opened, now: now), now) }
        do throws(CryptoError) {
            tls = try TLSConnection(client: context, host: host)
        } catch {
            return end(SyslogFailure(kind: .tls(.localFile), words: "\(error)"), now)
        }
        perform(session.handle(.began(.handshake), now: now), now)
        shakeHands(now)
    }

    private func shakeHands(_ now: Tick) {
        guard let tls, !session.isOpen else { return }
        do throws(CryptoError) {
            let isComplete = try tls.handshake()
            tls.takeCiphertext(&outgoing)
            if isComplete { perform(session.handle(.opened, now: now), now) }
        } catch {
            refuse(error, now)
        }
    }

    /// TLS failed: the receiver is told by an alert, if it can be, and people in words.
    private func refuse(_ error: CryptoError, _ now: Tick) {
        guard let tls else { return }
        tls.takeCiphertext(&outgoing)
        _ = flush()
        let text = error.queue.last ?? error.message
        let failure =
            tls.isEstablished
            ? SyslogFailure.established(text, hasClientCertificate: material.hasClientCertificate)
            : SyslogFailure.handshake(
                text, verifyResult: tls.verifyResult, hasClientCertificate: material.hasClientCertificate)
        end(failure, now)
    }
}

// MARK: - Writing and reading

extension SyslogConnection {
    /// Sends what is ready; nil when all of it has left, else what stopped it.
    private func flush() -> SocketResult? {
        guard let socket else { return .end }
        while outgoingAt < outgoing.count {
            switch socket.send(outgoing.span, outgoingAt..<outgoing.count) {
            case .bytes(let count):
                outgoingAt += count
                sent += UInt64(count)
            case let other: return other
            }
        }
        outgoing.removeAll()
        outgoingAt = 0
        return nil
    }

    /// Writes as much of the current parcel as the system takes.
    private func pump(_ now: Tick) {
        let limit = sent + UInt64(Self.turnBytes)
        while !session.hasEnded {
            let blocked = flush()
            perform(session.handle(.wrote(sent), now: now), now)
            if case .failed(let code) = blocked {
                // The receiver may have said why before it closed.
                hear(now)
                return session.hasEnded ? () : end(.lost(code), now)
            }
            guard blocked == nil, session.isOpen, sent < limit, let (id, at) = current, let bytes = parcels[id] else {
                return
            }
            guard at < bytes.count else {
                current = nil
                perform(session.handle(.started, now: now), now)
                perform(session.handle(.finished, now: now), now)
                continue
            }
            if at == 0 { perform(session.handle(.started, now: now), now) }
            let piece = at..<min(at + Self.pieceBytes, bytes.count)
            current = (id, piece.upperBound)
            guard let tls else {
                outgoing.append(bytes.span, piece)
                continue
            }
            do throws(CryptoError) {
                try tls.write(bytes.span.extracting(piece))
                tls.takeCiphertext(&outgoing)
            } catch {
                return refuse(error, now)
            }
        }
    }

    /// Reads what the receiver says, and so learns whether it is there.
    private func hear(_ now: Tick) {
        while !session.hasEnded, let socket {
            switch socket.receive(into: &incoming) {
            case .wouldBlock: return
            case .end: return ended(now)
            case .failed(let code): return end(.lost(code), now)
            case .bytes(let count):
                guard tls != nil else {
                    heard += count
                    babble(now)
                    continue
                }
                decrypt(count, now)
            }
        }
    }

    private func decrypt(_ count: Int, _ now: Tick) {
        guard let tls else { return }
        do throws(CryptoError) {
            try tls.feed(incoming.span.extracting(0..<count))
            if !session.isOpen { shakeHands(now) }
            reading: while session.isOpen {
                discarded.removeAll()
                switch try tls.read(into: &discarded) {
                case .bytes(let count): heard += count
                case .needsMore: break reading
                case .closed: return end(.closed, now)
                }
            }
            tls.takeCiphertext(&outgoing)
        } catch {
            return refuse(error, now)
        }
        babble(now)
    }

    private func ended(_ now: Tick) {
        guard tls != nil, !session.isOpen else { return end(.closed, now) }
        let words = "the receiver closed the connection within the TLS handshake"
        end(SyslogFailure(kind: .connectionLost, words: words), now)
    }

    private func babble(_ now: Tick) {
        guard heard > Self.maxHeardBytes else { return }
        let words =
            "the receiver sent more than \(Self.maxHeardBytes) bytes, and syslog receivers send none; check that the port"
            + " is the syslog receiver's"
        end(SyslogFailure(kind: .babble, words: words), now)
    }
}

// MARK: - Closing

extension SyslogConnection {
    /// Says goodbye and waits for the receiver's own end: closing at once with its bytes unread would reset the
    /// connection (RFC 1122, section 4.2.2.13), and a reset may cost what the receiver has not read yet.
    private func closePolitely(_ now: Tick) {
        tls?.closeNotify()
        tls?.takeCiphertext(&outgoing)
        _ = flush()
        // What does not fit now cannot follow the end of the stream, and must not keep poll(2) awake.
        outgoing.removeAll()
        outgoingAt = 0
        socket?.shutdownWrite()
        lingersUntil = now.adding(milliseconds: linger)
    }

    private func lingering(_ events: Int16, _ now: Tick) {
        if let lingersUntil, lingersUntil <= now { socket = nil }
        while let socket {
            switch socket.receive(into: &incoming) {
            case .bytes(let count):
                heard += count
                if heard > Self.maxHeardBytes { self.socket = nil }
            case .wouldBlock: return
            case .end, .failed: self.socket = nil
            }
        }
    }
}
