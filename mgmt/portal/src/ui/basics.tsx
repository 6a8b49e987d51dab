// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { failure_text, is_waiting } from "../api/http";
import { useStore } from "../state/store";
import { close_toast, say, toasts } from "../state/toasts";
import { t } from "../text/text";
import { Icon, type IconName } from "./icons";

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "type" | "ref"> & {
  look?: "plain" | "lead" | "danger" | "quiet";
  icon?: IconName;
  type?: "button" | "submit";
  disabled?: boolean;
};
export function Button({ look = "plain", icon, type = "button", children, ...rest }: ButtonProps) {
  return (
    <button type={type} class={`button ${look}`} {...rest}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A button of an icon alone; `label` is its name for everyone. */
export function IconButton({
  icon,
  label,
  ...rest
}: {
  icon: IconName;
  label: string;
  onClick?: () => void;
  disabled?: boolean;
  class?: string;
}) {
  return (
    <button type="button" class="button quiet" aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}

/** A button whose act may fail: it waits, and says what went wrong. */
export function Act({ run, done, ...rest }: ButtonProps & { run: () => Promise<unknown>; done?: string }) {
  const [busy, set_busy] = useState(false);
  async function click() {
    set_busy(true);
    try {
      await run();
      if (done) say(done);
    } catch (error) {
      say(failure_text(error), is_waiting(error) ? "warn" : "bad");
    } finally {
      set_busy(false);
    }
  }
  return <Button {...rest} disabled={busy || !!rest.disabled} aria-busy={busy} onClick={() => void click()} />;
}

/** What waits for a second person is out of these hands: its dialog closes, and the way out says so. */
export async function closing<T>(act: Promise<T>, close: () => void): Promise<T> {
  try {
    return await act;
  } catch (error) {
    if (is_waiting(error)) close();
    throw error;
  }
}

export type Tone = "good" | "bad" | "warn" | "lead" | "";
export function Badge({ tone = "", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function Note({ tone = "", children }: { tone?: "good" | "bad" | "warn" | ""; children: ComponentChildren }) {
  return (
    <div class={`note ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <div>{children}</div>
    </div>
  );
}

export function Card({
  title,
  tools,
  flush,
  children,
}: {
  title?: string;
  tools?: ComponentChildren;
  flush?: boolean;
  children: ComponentChildren;
}) {
  return (
    <section class={`card ${flush ? "flush" : ""}`}>
      {title && (
        <div class="card-head">
          <h2>{title}</h2>
          {tools}
        </div>
      )}
      {children}
    </section>
  );
}

export function PageHead({ title, lead, children }: { title: string; lead?: string; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} – Sekisho`;
  }, [title]);
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {lead && <p>{lead}</p>}
      </div>
      {children && <div class="row">{children}</div>}
    </header>
  );
}

export function Toasts() {
  const shown = useStore(toasts);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div key={toast.id} class={`note ${toast.kind}`}>
          <div>{toast.text}</div>
          <IconButton icon="close" label={t("act.close")} onClick={() => close_toast(toast.id)} />
        </div>
      ))}
    </div>
  );
}

/** The browser's own modal dialog: it keeps the focus, and Escape closes it. */
export function Dialog({
  title,
  size,
  onClose,
  onSubmit,
  foot,
  children,
}: {
  title: string;
  size?: "large";
  onClose: () => void;
  onSubmit?: () => void;
  foot?: ComponentChildren;
  children: ComponentChildren;
}) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current!;
    const back = document.activeElement as HTMLElement | null;
    dialog.showModal();
    return () => {
      dialog.close();
      back?.focus?.();
    };
  }, []);
  const body = (
    <>
      <div class="dialog-head">
        <h2>{title}</h2>
        <IconButton icon="close" label={t("act.close")} onClick={onClose} />
      </div>
      <div class="dialog-body" tabIndex={-1}>
        {children}
      </div>
      {foot && <div class="dialog-foot">{foot}</div>}
    </>
  );
  return (
    <dialog
      ref={box}
      data-size={size}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      {onSubmit ? (
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            onSubmit();
          }}
        >
          {body}
        </form>
      ) : (
        <div>{body}</div>
      )}
    </dialog>
  );
}

/** Asks before something that cannot be taken back. */
export function Confirm({
  title,
  text,
  act,
  onYes,
  onClose,
}: {
  title: string;
  text: string;
  act: string;
  onYes: () => Promise<unknown>;
  onClose: () => void;
}) {
  return (
    <Dialog
      title={title}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="danger"
            run={async () => {
              await closing(onYes(), onClose);
              onClose();
            }}
          >
            {act}
          </Act>
        </>
      }
    >
      <p>{text}</p>
    </Dialog>
  );
}

export function Tabs<T extends string>({
  label,
  tabs,
  value,
  onChange,
}: {
  label: string;
  tabs: { value: T; text: string }[];
  value: T;
  onChange: (value: T) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  function key(event: KeyboardEvent) {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const at = (tabs.findIndex((tab) => tab.value === value) + step + tabs.length) % tabs.length;
    onChange(tabs[at]!.value);
    (list.current?.children[at] as HTMLElement | undefined)?.focus();
  }
  return (
    <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={key}>
      {tabs.map((tab) => (
        <button
          key={tab.value}
          type="button"
          role="tab"
          aria-selected={tab.value === value}
          tabIndex={tab.value === value ? 0 : -1}
          onClick={() => onChange(tab.value)}
        >
          {tab.text}
        </button>
      ))}
    </div>
  );
}

/** What a promise gave: nothing yet, a value, or a failure with a way to try again. */
export function Loaded<T>({ from, children }: { from: Loading<T>; children: (value: T) => ComponentChildren }) {
  if (from.value !== undefined) return <>{children(from.value)}</>;
  if (from.error)
    return (
      <Note tone="bad">
        {from.error}{" "}
        <Button look="quiet" onClick={from.again}>
          {t("act.retry")}
        </Button>
      </Note>
    );
  return (
    <p class="empty" role="status">
      {t("state.loading")}
    </p>
  );
}

export interface Loading<T> {
  value?: T;
  error?: string;
  again: () => void;
}

/** When somebody last did something here. Asking again by itself would keep a session alive that nobody uses. */
let touched = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel"])
  addEventListener(
    kind,
    () => {
      touched = Date.now();
    },
    { passive: true },
  );
const ATTENTION_MS = 120_000;

/** Loads when `keys` change, and every `every` milliseconds while somebody is there. */
export function useLoad<T>(load: () => Promise<T>, keys: unknown[], every = 0): Loading<T> {
  const [state, set_state] = useState<{ value?: T; error?: string }>({});
  const [turn, set_turn] = useState(0);
  useEffect(() => {
    let live = true;
    const fetch_once = () =>
      load().then(
        (value) => {
          if (live) set_state({ value });
        },
        (error: unknown) => {
          if (live) set_state((old) => ({ ...old, error: failure_text(error) }));
        },
      );
    void fetch_once();
    const timer = every
      ? setInterval(() => {
          if (!document.hidden && Date.now() - touched < ATTENTION_MS) void fetch_once();
        }, every)
      : 0;
    return () => {
      live = false;
      clearInterval(timer);
    };
  }, [...keys, turn]);
  return { ...state, again: () => set_turn((old) => old + 1) };
}
