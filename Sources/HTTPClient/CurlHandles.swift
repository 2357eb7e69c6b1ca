import CCurl
import Glibc
import Model
import Synchronization

/// libcurl's process-wide part. A lazy global is initialized once, whatever thread comes first; libcurl is never
/// told to clean up, as other clients of the process may live on.
private let globalInitialization: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

/// ``TLSApproved`` for a callback of C, which may come as long as the process lives.
private nonisolated(unsafe) let approvedRules = {
    let rules = UnsafeMutablePointer<shim_curl_rules>.allocate(capacity: 1)
    unsafe rules.initialize(
        to: shim_curl_rules(signatures: strdup(TLSApproved.signatures), groups: strdup(TLSApproved.groups)))
    return unsafe UnsafePointer(rules)
}()

/// Owner of a CURLM. Only ``wakeUp()`` may be called from any thread; the rest belongs to the loop's thread.
@safe final class MultiHandle: Sendable {
    // Written once. libcurl's own rule for its use from threads is kept by the loop and by `open`.
    nonisolated(unsafe) private let multi: UnsafeMutableRawPointer
    /// Whether `multi` still exists: a wake-up must not race with the end.
    private let open = Mutex(true)

    /// `nil` if libcurl has no memory or cannot be initialized.
    init?(maxConnections: Int) {
        guard globalInitialization == CURLE_OK, let multi = unsafe curl_multi_init() else { return nil }
        unsafe self.multi = unsafe multi
        unsafe _ = shim_curl_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, maxConnections)
        unsafe _ = shim_curl_multi_setopt_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    }

    deinit { close() }

    /// Ends the loop's current or next wait.
    func wakeUp() {
        open.withLock { isOpen in
            if isOpen { unsafe _ = curl_multi_wakeup(multi) }
        }
    }

    /// Closes all connections. Every easy handle must have been removed before.
    func close() {
        open.withLock { isOpen in
            guard isOpen else { return }
            unsafe _ = curl_multi_cleanup(multi)
            isOpen = false
        }
    }

    func add(_ easy: EasyHandle) -> CURLMcode { unsafe curl_multi_add_handle(multi, easy.easy) }

    func remove(_ easy: EasyHandle) { unsafe _ = curl_multi_remove_handle(multi, easy.easy) }

    /// Moves every transfer as far as it goes without waiting.
    func perform() -> CURLMcode {
        var running: Int32 = 0
        return unsafe curl_multi_perform(multi, &running)
    }

    /// Waits for a socket, a timer of libcurl's, ``wakeUp()``, or so many milliseconds.
    func poll(milliseconds: Int32) -> CURLMcode { unsafe curl_multi_poll(multi, nil, 0, milliseconds, nil) }

    /// The next transfer that has ended: its handle's key and its result.
    func nextDone() -> (key: UInt, code: CURLcode)? {
        var code = CURLE_OK
        guard let easy = unsafe shim_curl_multi_next_done(multi, &code) else { return nil }
        return (UInt(bitPattern: easy), code)
    }
}

/// Owner of a CURL, its error text and its lists of strings. Only for the loop's thread.
@safe final class EasyHandle {
    fileprivate let easy: UnsafeMutableRawPointer
    private let errorText: UnsafeMutablePointer<CChar>
    private var lists: [UnsafeMutablePointer<curl_slist>] = unsafe []
    /// The first option that libcurl refused since ``reset()``.
    private(set) var firstError = CURLE_OK

    /// `nil` if libcurl has no memory.
    init?() {
        guard let easy = unsafe curl_easy_init() else { return nil }
        unsafe self.easy = unsafe easy
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        unsafe curl_easy_cleanup(easy)
        freeLists()
        unsafe errorText.deallocate()
    }

    /// Tells this handle from the others.
    var key: UInt { unsafe UInt(bitPattern: easy) }

    /// Back to libcurl's defaults; nothing of the last request stays.
    func reset() {
        unsafe curl_easy_reset(easy)
        freeLists()
        unsafe errorText[0] = 0
        firstError = CURLE_OK
    }

    private func freeLists() {
        while let list = unsafe lists.popLast() { unsafe curl_slist_free_all(list) }
    }

    private func note(_ code: CURLcode) {
        if firstError == CURLE_OK { firstError = code }
    }

    func set(_ option: CURLoption, _ value: Int) { unsafe note(shim_curl_setopt_long(easy, option, value)) }

    func set(_ option: CURLoption, offset value: Int) {
        unsafe note(shim_curl_setopt_offset(easy, option, curl_off_t(value)))
    }

    /// libcurl copies the string.
    func set(_ option: CURLoption, _ value: String?) {
        guard let value else {
            unsafe note(shim_curl_setopt_string(easy, option, nil))
            return
        }
        unsafe note(value.withCString { unsafe shim_curl_setopt_string(easy, option, $0) })
    }

    /// The bytes are not copied; the caller keeps them until the transfer has ended.
    func set(_ option: CURLoption, blob: SealedBytes) {
        unsafe blob.withUnsafeBytes {
            unsafe note(shim_curl_setopt_blob(easy, option, $0.baseAddress, $0.count))
        }
    }

    /// The body is not copied; the caller keeps it until the transfer has ended.
    func set(body: SealedBytes) {
        set(CURLOPT_POSTFIELDSIZE_LARGE, offset: body.count)
        unsafe body.withUnsafeBytes {
            unsafe note(shim_curl_setopt_pointer(easy, CURLOPT_POSTFIELDS, $0.baseAddress))
        }
    }

    /// See `shim_curl_harden`.
    func harden(approvedOnly: Bool) {
        unsafe note(shim_curl_setopt_harden(easy, approvedOnly ? approvedRules : nil))
    }

    /// libcurl copies the strings; the list is freed by ``reset()``.
    func set(_ option: CURLoption, list strings: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for string in strings {
            guard let longer = unsafe curl_slist_append(list, string) else {
                unsafe curl_slist_free_all(list)
                note(CURLE_OUT_OF_MEMORY)
                return
            }
            unsafe list = unsafe longer
        }
        guard let list = unsafe list else { return }
        unsafe lists.append(list)
        unsafe note(shim_curl_setopt_list(easy, option, list))
    }

    /// Directs libcurl's callbacks to `transfer`, which the caller keeps until the transfer has ended.
    func setCallbacks(_ transfer: Transfer) {
        let pointer = unsafe UnsafeRawPointer(Unmanaged.passUnretained(transfer).toOpaque())
        unsafe note(shim_curl_setopt_write(easy, CURLOPT_WRITEFUNCTION, bodyArrived))
        unsafe note(shim_curl_setopt_pointer(easy, CURLOPT_WRITEDATA, pointer))
        unsafe note(shim_curl_setopt_write(easy, CURLOPT_HEADERFUNCTION, headerLineArrived))
        unsafe note(shim_curl_setopt_pointer(easy, CURLOPT_HEADERDATA, pointer))
        unsafe note(shim_curl_setopt_prereq(easy, aboutToSend))
        unsafe note(shim_curl_setopt_pointer(easy, CURLOPT_PREREQDATA, pointer))
        unsafe note(shim_curl_setopt_pointer(easy, CURLOPT_ERRORBUFFER, errorText))
    }

    /// Has a paused transfer go on.
    func unpause() -> CURLcode { unsafe curl_easy_pause(easy, CURLPAUSE_CONT) }

    var status: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_RESPONSE_CODE) }
    /// How many connections were opened for the transfer so far.
    var openedConnections: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_NUM_CONNECTS) }
    /// Status of a proxy's last answer to CONNECT, 0 if there was none.
    var connectStatus: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_HTTP_CONNECTCODE) }
    var httpVersion: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_HTTP_VERSION) }
    var verifyResult: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_SSL_VERIFYRESULT) }
    var proxyVerifyResult: Int { unsafe shim_curl_getinfo_long(easy, CURLINFO_PROXY_SSL_VERIFYRESULT) }
    var uploadedBytes: Int { unsafe Int(shim_curl_getinfo_offset(easy, CURLINFO_SIZE_UPLOAD_T)) }

    /// What libcurl says about a failure: its own text for this transfer, or the code's.
    func reason(_ code: CURLcode) -> String {
        let own = unsafe String(cString: errorText)
        return own.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : own
    }
}

private let bodyArrived: curl_write_callback = { bytes, size, count, context in
    guard let context = unsafe context, let bytes = unsafe bytes else { return 0 }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    let length = size * count
    let piece = unsafe UnsafeRawBufferPointer(start: bytes, count: length)
    switch unsafe transfer.appendBody(piece) {
    case .taken: return length
    // libcurl keeps the piece and stops reading from the connection.
    case .notNow: return Int(CURL_WRITEFUNC_PAUSE)
    case .refused: return 0
    }
}

private let headerLineArrived: curl_write_callback = { bytes, size, count, context in
    guard let context = unsafe context, let bytes = unsafe bytes else { return 0 }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    let length = size * count
    let line = unsafe UnsafeRawBufferPointer(start: bytes, count: length)
    return unsafe transfer.appendHeaderLine(line) ? length : 0
}

private let aboutToSend: curl_prereq_callback = { context, _, _, _, _ in
    guard let context = unsafe context else { return CURL_PREREQFUNC_ABORT }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    return transfer.mayStartSending() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
}
