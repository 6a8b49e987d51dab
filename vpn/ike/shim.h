// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The one border between C++ and libcharon: plain structs and function tables, no strongSwan type.
/// What a callback is given is borrowed for the call. Callbacks run on charon's threads, several at once; they are short, never
/// throw, and never call a function of this header except where it says so.

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const uint8_t* data;
  size_t size;
} sekisho_bytes;

/// An address (`family` 4 or 6, network order, IPv4 in the first four bytes; 0: none) and a UDP port in host order.
typedef struct {
  uint8_t family;
  uint8_t address[16];
  uint16_t port;
} sekisho_endpoint;

/// Where a datagram entered the gateway: whose it is, and by which Port. It travels with the local address through charon.
typedef struct {
  uint32_t tenant;
  uint32_t port;
} sekisho_attachment;

typedef struct {
  sekisho_attachment attachment;
  sekisho_endpoint local;
  sekisho_endpoint remote;
} sekisho_path;

/// A traffic selector: addresses `first` to `last`, one protocol (0: any), ports in host order.
typedef struct {
  uint8_t family;
  uint8_t protocol;
  uint16_t port_first;
  uint16_t port_last;
  uint8_t first[16];
  uint8_t last[16];
} sekisho_selector;

enum { SEKISHO_SELECTORS_MAX = 16, SEKISHO_VENDORS_MAX = 16, SEKISHO_PSKS_MAX = 16, SEKISHO_PSK_BYTES_MAX = 256 };

/// One direction of a CHILD_SA as it is installed. Algorithms are IANA's IKEv2 transform numbers. AEAD keys end in the salt.
typedef struct {
  sekisho_path path;
  uint32_t spi;  ///< host order; chosen by the receiver
  uint32_t beside_spi;  ///< outbound: the inbound SA of the same CHILD_SA
  bool inbound;
  bool tunnel;  ///< false: transport mode
  bool udp_encapsulation;
  bool esn;
  uint16_t encryption;
  uint16_t integrity;  ///< 0 for AEAD
  sekisho_bytes encryption_key;
  sekisho_bytes integrity_key;
  uint32_t replay_window;  ///< packets
  uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets;  ///< 0: no limit; limits by time are the shim's
  size_t local_selectors, remote_selectors;
  sekisho_selector local[SEKISHO_SELECTORS_MAX];
  sekisho_selector remote[SEKISHO_SELECTORS_MAX];
} sekisho_sa;

typedef struct {
  uint64_t bytes;
  uint64_t packets;
  uint64_t idle_seconds;  ///< since the last packet; UINT64_MAX: none ever came
} sekisho_sa_use;

typedef enum {
  SEKISHO_EVENT_ATTEMPT = 1,   ///< an IKE_SA_INIT request made a new IKE_SA
  SEKISHO_EVENT_AUTH_BEGUN,    ///< an IKE_AUTH request could be decrypted: the peer's address is real
  SEKISHO_EVENT_RETRY,         ///< the peer was told to begin again with another key exchange: no attempt of its own
  SEKISHO_EVENT_CAUSE,         ///< why what follows will fail; `cause`
  SEKISHO_EVENT_AUTHENTICATED, ///< identities are proven
  SEKISHO_EVENT_ASSIGNED,      ///< it has inner addresses
  SEKISHO_EVENT_CHILD_UP,      ///< a CHILD_SA stands; `spi_in`, `spi_out`, `esp_suite`
  SEKISHO_EVENT_CHILD_REKEYED, ///< the same, in place of an older one
  SEKISHO_EVENT_IKE_REKEYED,   ///< `ike` goes on as `new_ike`
  SEKISHO_EVENT_MOVED,         ///< the peer's or our address changed; `path` is the new one
  SEKISHO_EVENT_GONE,          ///< the IKE_SA is destroyed
} sekisho_event_kind;

/// What went wrong, as far as charon lets us see.
typedef enum {
  SEKISHO_CAUSE_NONE = 0,
  SEKISHO_CAUSE_NO_GATEWAY,       ///< nobody answers IKE at this address for this tenant
  SEKISHO_CAUSE_IKE_PROPOSAL,     ///< no common algorithms for IKE
  SEKISHO_CAUSE_CHILD_PROPOSAL,   ///< no common algorithms for ESP
  SEKISHO_CAUSE_SELECTORS,        ///< no common traffic selectors
  SEKISHO_CAUSE_PEER_AUTH,        ///< the peer did not prove who it is
  SEKISHO_CAUSE_PASSWORD,         ///< wrong password or unknown user
  SEKISHO_CAUSE_CERT_EXPIRED,
  SEKISHO_CAUSE_CERT_REVOKED,
  SEKISHO_CAUSE_CERT_UNTRUSTED,
  SEKISHO_CAUSE_PPK,              ///< no key of RFC 8784 where one is asked for
  SEKISHO_CAUSE_LOCAL_AUTH,       ///< we could not prove who we are
  SEKISHO_CAUSE_PEER_REFUSED_US,  ///< the peer does not accept our certificate or name
  SEKISHO_CAUSE_PEER_SAID,        ///< it sent another error: `peer_notify`
  SEKISHO_CAUSE_FORBIDDEN,        ///< `authorize` said no
  SEKISHO_CAUSE_NO_ADDRESS,       ///< `lease` gave none
  SEKISHO_CAUSE_INSTALL,          ///< the SA sink refused
  SEKISHO_CAUSE_TIMEOUT,          ///< the peer fell silent
  SEKISHO_CAUSE_PEER_DELETED,     ///< the peer said goodbye
  SEKISHO_CAUSE_LIFETIME,         ///< the hard lifetime ended
  SEKISHO_CAUSE_ADMIN,            ///< sekisho_ike_terminate
  SEKISHO_CAUSE_BACKEND_DOWN = 70,  ///< no server that judges the peer answers
  SEKISHO_CAUSE_BACKEND_BUSY,     ///< too many wait for the tenant's servers already
  SEKISHO_CAUSE_BACKEND_KEY,      ///< the server let the peer in without keys
  SEKISHO_CAUSE_PSK = 140,        ///< IKEv1: none of the gateway's pre-shared keys is the peer's
} sekisho_cause;

/// A certificate (`leaf`) whose key the peer has proven to hold, or one that connects it with a CA. DER; borrowed.
typedef struct {
  sekisho_bytes der;
  uint32_t round;  ///< of authentication, from 0 (RFC 4739)
  bool leaf;
} sekisho_certificate;

enum { SEKISHO_CERTIFICATES_MAX = 16 };

/// Texts are UTF-8 or what the peer sent, NUL-terminated, never NULL.
typedef struct sekisho_event {
  sekisho_event_kind kind;
  sekisho_cause cause;
  uint32_t ike, new_ike;
  uint32_t ike_version;
  sekisho_path path;
  bool nat;
  const char* connection;  ///< name of the peer configuration; empty until one is chosen
  const char* peer_id;     ///< IDi
  const char* user;        ///< EAP identity, or IDi; empty, and so are the two of the certificate, when it is long established: as before
  const char* ike_suite;
  const char* esp_suite;
  const char* certificate_serial;   ///< hex; of the client's certificate, once it is believed
  const char* certificate_subject;
  uint64_t initiator_spi, responder_spi;  ///< of the IKE_SA, host order
  uint16_t peer_notify;    ///< of a cause: the error notify the peer sent, 0: none
  uint32_t peer_win32;     ///< of Microsoft's notify 12345
  size_t vendors;          ///< of an attempt: vendor ids the peer sent
  sekisho_bytes vendor[SEKISHO_VENDORS_MAX];
  const char* offered;  ///< algorithms of an offer that nothing fits
  uint32_t spi_in, spi_out;  ///< host order
  size_t leases;
  sekisho_endpoint lease[4];
  const sekisho_certificate* certificates;  ///< of `prove` alone
  size_t certificate_count;
  uint32_t rounds;  ///< of authentication
} sekisho_event;

/// ClientHabits of vpn/client_family.h.
typedef struct {
  bool gateway_rekeys_child;
  uint32_t child_life_seconds_min;
  bool asks_dhcp;
  uint8_t dhcp_server[4];
} sekisho_habits;

typedef enum { SEKISHO_SECRET_NT_HASH = 1, SEKISHO_SECRET_PSK } sekisho_secret_kind;

typedef enum { SEKISHO_JUDGE_NOBODY = 0, SEKISHO_JUDGE_DIRECTORY, SEKISHO_JUDGE_BACKEND } sekisho_judge;

typedef enum {
  SEKISHO_RELAYED_MORE = 0,  ///< `eap` is for the peer
  SEKISHO_RELAYED_ACCEPTED,  ///< `msk`, and `user` unless the server left that to the peer
  SEKISHO_RELAYED_REJECTED,
  SEKISHO_RELAYED_NOBODY,
  SEKISHO_RELAYED_BUSY,
  SEKISHO_RELAYED_NO_KEY,
} sekisho_relayed_outcome;

/// What a backend answered. Wiped by the shim.
typedef struct {
  sekisho_relayed_outcome outcome;
  size_t size;
  uint8_t eap[4096];
  uint8_t msk[64];
  char user[256];
} sekisho_relayed;

typedef struct {
  void* context;
  /// Sends one UDP payload. Never blocks; what cannot be sent is lost, as on any network.
  void (*send)(void* context, const sekisho_path* path, sekisho_bytes payload);
  bool (*allocate_spi)(void* context, const sekisho_path* path, uint32_t* spi);
  bool (*install)(void* context, const sekisho_sa* sa, const sekisho_event* owner);
  /// An SA is named by its ends, its SPI and its direction: peers choose outbound SPIs, and may choose alike.
  /// The tenant of `to` was compared with that of `from`.
  bool (*move)(void* context, const sekisho_path* from, uint32_t spi, bool inbound, const sekisho_path* to, bool udp_encapsulation);
  bool (*query)(void* context, const sekisho_path* path, uint32_t spi, bool inbound, sekisho_sa_use* use);
  void (*remove)(void* context, const sekisho_path* path, uint32_t spi, bool inbound);
  /// Returns the secret's length in `buffer`, 0 when there is none. The shim wipes `buffer`.
  size_t (*secret)(void* context, const sekisho_path* path, sekisho_secret_kind kind, const char* name, uint8_t* buffer, size_t capacity);
  /// IKEv1: the `index`th pre-shared key that may be meant on this path, likeliest first; like `secret`.
  size_t (*peer_psk)(void* context, const sekisho_path* path, size_t index, uint8_t* buffer, size_t capacity);
  /// What tells a key from others, and then which of them the peer of an IKE_SA turned out to hold.
  uint64_t (*psk_mark)(void* context, sekisho_bytes key);
  void (*psk_used)(void* context, uint32_t ike, uint64_t mark);
  /// The key of RFC 8784 named `ppk_id`, for the peer of `who`; like `secret`.
  size_t (*ppk)(void* context, const sekisho_event* who, const char* ppk_id, uint8_t* buffer, size_t capacity);
  /// Somebody who said he was `name` did not know that secret.
  void (*wrong_secret)(void* context, const sekisho_path* path, const char* name);
  /// The client of `who` shows a certificate, by that issuer, both DER. Waits for its revocation to be known, for seconds.
  void (*look_up)(void* context, const sekisho_event* who, sekisho_bytes certificate, sekisho_bytes issuer);
  /// Are the certificates in `who`, which libcharon has accepted, good by our own rules too? Asked before `authorize`.
  bool (*prove)(void* context, const sekisho_event* who);
  /// Who judges the peer; for a backend also a conversation with it, which ends with `forget`.
  sekisho_judge (*judge)(void* context, const sekisho_event* who, void** conversation);
  /// Takes the peer's EAP packet (none: its identity, `who->user`) to the backend. With `look_up` the one callback that waits, for seconds.
  void (*relay)(void* context, void* conversation, const sekisho_event* who, sekisho_bytes eap, sekisho_relayed* answer);
  void (*forget)(void* context, void* conversation);
  /// May who is described by `who` come in?
  bool (*authorize)(void* context, const sekisho_event* who);
  /// An inner address for the session, of `family` 4 or 6. The same question again is answered the same.
  bool (*lease)(void* context, const sekisho_event* who, uint8_t family, sekisho_endpoint* address);
  void (*release)(void* context, const sekisho_event* who, const sekisho_endpoint* address);
  void (*event)(void* context, const sekisho_event* event);
  /// The IKE_SA whose own SPI is `spi` (as it stands on the wire) belongs to `tenant`; called again with 0 when it is gone. `peer_spi`:
  /// the other's, while the peer has not proven who it is; else 0.
  void (*own_spi)(void* context, uint64_t spi, uint64_t peer_spi, uint32_t tenant);
  /// What a client shows of itself: a vendor id, or (`vendor_id` empty) an attribute its configuration request asks for.
  void (*mark)(void* context, uint32_t ike, sekisho_bytes vendor_id, uint16_t attribute);
  /// How to behave toward this client.
  void (*habits)(void* context, uint32_t ike, sekisho_habits* habits);
  void (*log)(void* context, int level, uint32_t ike, const char* group, const char* text);
} sekisho_ike_ops;

typedef struct {
  uint32_t ike_version;           ///< 1 or 2: the one this process speaks
  uint32_t threads;             ///< charon's workers; at least 8
  uint32_t half_open_per_source;  ///< IKE_SAs one address may have begun and not finished; more are dropped
  uint32_t cookie_per_source;   ///< from this many on, the peer proves its address by a cookie
  uint32_t retransmit_tries;
  double retransmit_timeout;    ///< seconds until the first; each next is 1.8 times as long
  uint32_t half_open_seconds;
  bool verbose;                 ///< charon's lines of level 1 come too, not errors alone: writing them costs time
} sekisho_ike_settings;

/// RFC 8784.
typedef enum { SEKISHO_PPK_NONE = 0, SEKISHO_PPK_OPTIONAL, SEKISHO_PPK_REQUIRED } sekisho_ppk;

/// A gateway of a tenant, which may have several at differing addresses. Lists of texts end in NULL. Copied.
typedef struct {
  const char* name;
  uint32_t tenant;
  const char* addresses;  ///< comma separated local addresses
  const char* identity;   ///< IDr
  const char* const* ike_proposals;
  const char* const* esp_proposals;
  bool accept_certificate, accept_eap_mschapv2, accept_eap_tls, accept_eap_radius, accept_psk;
  sekisho_ppk ppk;
  const char* const* certificates;  ///< PEM: the gateway's own, one for each key
  const char* const* keys;          ///< PEM, unencrypted
  const char* const* gateway_cas;   ///< PEM: issuers of `certificates`, roots included
  const char* const* client_cas;    ///< PEM: who may vouch for users
  const char* const* device_cas;    ///< PEM: who may vouch for devices, whose certificate is a round of its own
  const char* const* networks;      ///< prefixes behind the gateway
  const char* const* dns;           ///< addresses
  const char* const* dns_domains;   ///< resolved inside only (RFC 8598)
  uint32_t ike_rekey_seconds, child_rekey_seconds, child_life_seconds, dpd_seconds;
  uint64_t child_rekey_bytes, child_life_bytes;
  uint32_t replay_window;
  bool force_udp_encapsulation;
  bool l2tp;  ///< IKEv1, main mode: transport mode for UDP to port 1701; no networks, addresses or EAP
} sekisho_ike_gateway;

/// Each says in `error` what failed. A process has one engine: libcharon's state is global.
typedef struct {
  char text[256];
} sekisho_ike_error;

/// Loads libcharon with exactly the plugins of library.c and checks its binary layout. `ops` must outlive sekisho_ike_stop.
bool sekisho_ike_init(const sekisho_ike_settings* settings, const sekisho_ike_ops* ops, sekisho_ike_error* error);
/// Threads run from here.
void sekisho_ike_start(void);
/// Ends all IKE_SAs, telling their peers, and all threads. Also after a failed init.
void sekisho_ike_stop(void);

/// Adds or replaces the tenant's gateway of that name. Live sessions keep what they were made with.
bool sekisho_ike_set_gateway(const sekisho_ike_gateway* gateway, sekisho_ike_error* error);
void sekisho_ike_remove_gateway(uint32_t tenant, const char* name);

/// One received UDP payload (with the non-ESP marker on port 4500). False: the queue is full, the datagram is dropped.
bool sekisho_ike_receive(const sekisho_path* path, sekisho_bytes payload);
/// Ends an IKE_SA; returns at once. May be called from a callback.
void sekisho_ike_terminate(uint32_t ike);
/// An inbound SA reached a limit the sink counts. May be called from a callback.
void sekisho_ike_expire(uint32_t spi, const sekisho_endpoint* local, bool hard);
/// A packet that passed authentication came from another address than the SA's.
void sekisho_ike_mapping_changed(uint32_t spi, const sekisho_endpoint* local, const sekisho_endpoint* new_remote);
/// Writes the names of the loaded plugins, blank separated.
void sekisho_ike_plugins(char* text, size_t capacity);

#ifdef __cplusplus
}  // extern "C"
#endif
