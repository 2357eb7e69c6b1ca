import Glibc
import Model
import Threading

/// A socket address as the system writes it.
struct SocketAddress: Sendable, Equatable {
    let family: Int32
    let bytes: [UInt8]
}

/// What a socket did.
enum SocketResult: Sendable, Equatable {
    case bytes(Int)
    /// Nothing now; poll(2) tells when.
    case wouldBlock
    /// The peer writes nothing more.
    case end
    case failed(Int32)
}

/// One TCP connection that never blocks.
@safe final class TCPSocket {
    let descriptor: Int32

    /// Begins to connect; poll(2) for writing tells when ``connectError()`` has the outcome.
    ///
    /// - Parameter stall: milliseconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT, RFC 5482).
    init(connectingTo address: SocketAddress, stall: UInt64) throws(SystemError) {
        descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        set(IPPROTO_TCP, TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(IPPROTO_TCP, TCP_KEEPIDLE, 30)
        set(IPPROTO_TCP, TCP_KEEPINTVL, 10)
        set(IPPROTO_TCP, TCP_KEEPCNT, 3)
        set(IPPROTO_TCP, TCP_USER_TIMEOUT, Int32(clamping: stall))
        let code = unsafe address.bytes.withUnsafeBytes { raw in
            let start = unsafe raw.baseAddress?.assumingMemoryBound(to: sockaddr.self)
            return unsafe connect(descriptor, start, socklen_t(raw.count)) == 0 ? 0 : errno
        }
        // EINTR: it goes on by itself (connect(2)).
        guard code == 0 || code == EINPROGRESS || code == EINTR else { throw SystemError(code: code) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Closing takes back what the system has not sent yet, instead of sending it behind our back.
    func discardsWhenClosed() {
        var option = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    private func set(_ level: some BinaryInteger, _ option: Int32, _ value: Int32) {
        var value = value
        unsafe setsockopt(descriptor, Int32(level), option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The outcome of connecting: 0, or an error number.
    func connectError() -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    /// Sends what the system takes of `span[range]`.
    func send(_ span: Span<UInt8>, _ range: Range<Int>) -> SocketResult {
        let (count, code) = unsafe span.withUnsafeBufferPointer { buffer in
            let start = unsafe buffer.baseAddress?.advanced(by: range.lowerBound)
            let count = unsafe Glibc.send(descriptor, start, range.count, Int32(MSG_NOSIGNAL))
            return (count, errno)
        }
        return Self.result(count, code)
    }

    /// Receives into `buffer`.
    func receive(into buffer: inout [UInt8]) -> SocketResult {
        let (count, code) = unsafe buffer.withUnsafeMutableBytes { raw in
            let count = unsafe recv(descriptor, raw.baseAddress, raw.count, 0)
            return (count, errno)
        }
        return count == 0 ? .end : Self.result(count, code)
    }

    private static func result(_ count: Int, _ code: Int32) -> SocketResult {
        if count >= 0 { return .bytes(count) }
        return code == EAGAIN || code == EWOULDBLOCK || code == EINTR ? .wouldBlock : .failed(code)
    }

    /// Bytes that were sent and that the peer's TCP has not acknowledged (SIOCOUTQ of tcp(7)).
    var unacknowledged: Int {
        var count: Int32 = 0
        guard unsafe ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 else { return .max }
        return Int(count)
    }

    /// Tells the peer that nothing more comes.
    func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }
}

/// A pipe that ends a wait in poll(2) from another thread.
@safe final class WakePipe: Sendable {
    let readEnd: Int32
    private let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // Without a pipe the wait still ends at its next deadline, which the loop bounds.
        unsafe pipe(&ends)
        (readEnd, writeEnd) = (ends[0], ends[1])
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Ends the wait, or the next one.
    func signal() {
        var byte: UInt8 = 1
        unsafe write(writeEnd, &byte, 1)
    }

    /// Takes the signals that came.
    func drain() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while unsafe read(readEnd, &bytes, bytes.count) > 0 {}
    }
}

/// Looks up a host's addresses on a thread of its own: getaddrinfo(3) may wait for minutes and cannot be interrupted.
enum Resolver {
    /// Calls `done` with the addresses, or why there are none.
    static func resolve(
        host: String, port: Int, done: @escaping @Sendable (Result<[SocketAddress], SyslogFailure>) -> Void
    ) {
        let started = SystemThread.start { done(addresses(host, port)) }
        switch started {
        case .success(let thread): pthread_detach(thread)
        case .failure(let error):
            done(.failure(SyslogFailure(kind: .resolve, words: "no thread to look up the host: \(error)")))
        }
    }

    private static func addresses(_ host: String, _ port: Int) -> Result<[SocketAddress], SyslogFailure> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        var code = unsafe getaddrinfo(host, String(port), &hints, &list)
        if code != 0 {
            // A machine with loopback alone has no configured address, and its loopback is meant all the same.
            unsafe hints.ai_flags = AI_NUMERICSERV
            code = unsafe getaddrinfo(host, String(port), &hints, &list)
        }
        guard code == 0 else {
            let text = unsafe gai_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
            return .failure(
                SyslogFailure(
                    kind: .resolve, words: "no address for the host: \(text). Check its name and this machine's DNS"))
        }
        defer { unsafe freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = unsafe list
        while let entry = unsafe next, found.count < maxAddresses {
            let info = unsafe entry.pointee
            let bytes = unsafe UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen))
            unsafe found.append(SocketAddress(family: info.ai_family, bytes: Array(bytes)))
            unsafe next = info.ai_next
        }
        return .success(found)
    }

    private static let maxAddresses = 16
}
