import Foundation
import Glibc

/// Certificates made by the `openssl` program, and servers of Python's `ssl` module that show them.
final class TLSBench {
    enum Trouble: Error { case failed(String) }

    let directory: String
    private var servers: [Process] = []

    init() throws {
        directory = FileManager.default.temporaryDirectory.path + "/http-client-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    /// Ends the servers and removes the files.
    func end() {
        for server in servers {
            // A child of a worker thread inherits its signal mask, which holds SIGTERM back.
            kill(server.processIdentifier, SIGKILL)
            server.waitUntilExit()
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// Makes `name.crt` and `name.key`, an authority.
    func makeAuthority(_ name: String) throws {
        try openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).crt"),
        ])
    }

    /// Makes `name.crt` and `name.key`, signed by `authority`, for the host `host`.
    func makeCertificate(_ name: String, by authority: String, host: String = "localhost", days: Int = 30) throws {
        try openssl([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
            "-keyout", path("\(name).key"), "-out", path("\(name).csr"),
        ])
        try Data("subjectAltName=DNS:\(host)\n".utf8).write(to: URL(fileURLWithPath: path("\(name).ext")))
        try openssl([
            "x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).crt"), "-CAkey",
            path("\(authority).key"), "-set_serial", "\(UInt32.random(in: 1...UInt32.max))", "-days", "\(days)",
            "-extfile", path("\(name).ext"), "-out", path("\(name).crt"),
        ])
    }

    private func openssl(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw Trouble.failed(String(decoding: text, as: UTF8.self)) }
    }

    /// Starts a server and returns its port. It answers every request with lines that say what it saw.
    func serve(
        _ certificate: String, clientAuthority: String? = nil, version: String = "any", http2: Bool = false
    ) throws -> Int {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c", TLSBench.script, path("\(certificate).crt"), path("\(certificate).key"),
            clientAuthority.map { path("\($0).crt") } ?? "", version, http2 ? "h2" : "http/1.1",
        ]
        // Its end tells the server that the tests are gone, however they ended.
        process.standardInput = Pipe()
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        servers.append(process)
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(line.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Trouble.failed("the server did not start: \(line)")
        }
        return port
    }

    private static let script = """
        import os, socket, ssl, struct, sys, threading
        certificate, key, authority, version, protocol = sys.argv[1:6]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version == "1.1":
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        elif version == "1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        elif version.startswith("suite "):
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(version[6:])
        elif version.startswith("group "):
            context.set_ecdh_curve(version[6:])
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols([protocol])
        if authority:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authority)
        names = {}
        context.sni_callback = lambda tls, name, _: names.__setitem__(id(tls), name)
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        print(listener.getsockname()[1], flush=True)

        def take(file, count):
            data = file.read(count)
            if len(data) < count: raise EOFError
            return data

        def http1(tls, file, number, about):
            while True:
                head = b""
                while not head.endswith(b"\\r\\n\\r\\n"):
                    line = file.readline()
                    if not line: return
                    head += line
                length, host = 0, ""
                for line in head.decode().split("\\r\\n"):
                    name, _, value = line.partition(":")
                    if name.lower() == "content-length": length = int(value)
                    if name.lower() == "host": host = value.strip()
                take(file, length)
                text = f"connection={number} host={host} body={length} {about}".encode()
                if b" /garble" in head:
                    # A record that no key of this connection has sealed.
                    raw = socket.socket(fileno=tls.detach())
                    raw.sendall(b"\\x17\\x03\\x03\\x00\\x20" + bytes(32))
                    raw.close()
                    return
                if b" /cut" in head:
                    # The connection ends without close_notify.
                    fields = {
                        b"le": b"Content-Length: 9\\r\\n\\r\\n",
                        b"ch": b"Transfer-Encoding: chunked\\r\\n\\r\\n9\\r\\n",
                        b"he": b"X-Field: ",
                        b"un": b"\\r\\n",
                    }[head.split(b"/cut-")[1][:2]]
                    tls.sendall(b"HTTP/1.1 200 OK\\r\\n" + fields + b"part")
                    socket.socket(fileno=tls.detach()).close()
                    return
                tls.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(text), text))

        def frame(tls, kind, flags, stream, data=b""):
            tls.sendall(struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data)

        def http2(tls, file, number):
            take(file, 24)
            frame(tls, 4, 0, 0)
            bodies = {}
            while True:
                head = take(file, 9)
                data = take(file, int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind == 4 and not flags & 1: frame(tls, 4, 1, 0)
                if kind == 0:
                    bodies[stream] = bodies.get(stream, 0) + len(data)
                    if data:
                        for where in (0, stream): frame(tls, 8, 0, where, struct.pack(">I", len(data)))
                if kind in (0, 1) and flags & 1:
                    frame(tls, 1, 4, stream, b"\\x88")
                    frame(tls, 0, 1, stream, f"connection={number} body={bodies.get(stream, 0)}".encode())

        def serve(plain, number):
            tls = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            try:
                tls.do_handshake()
                peer = tls.getpeercert() or {}
                subject = dict(x[0] for x in peer.get("subject", ())).get("commonName", "")
                file = tls.makefile("rb")
                if tls.selected_alpn_protocol() == "h2": http2(tls, file, number)
                else: http1(tls, file, number, f"sni={names.get(id(tls))} client={subject} {tls.version()}")
            except Exception:
                # Closing with bytes unread would be an RST, which would overtake the alert.
                if tls.fileno() >= 0:
                    rest = socket.socket(fileno=tls.detach())
                    rest.shutdown(socket.SHUT_WR)
                    while rest.recv(65536): pass

        number = 0
        while True:
            plain, _ = listener.accept()
            number += 1
            threading.Thread(target=serve, args=(plain, number), daemon=True).start()
        """
}
