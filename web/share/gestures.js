// Touch, mouse and wheel on the stage: one finger scrolls, two zoom and move; the mouse moves what is zoomed.

const WHEEL_STEP = 40;

export function gestures(stage, stack) {
  const pointers = new Map();
  let rest = 0;
  let turned = 0;

  const middle = () => {
    const places = [...pointers.values()];
    return { x: places.reduce((sum, p) => sum + p.x, 0) / places.length, y: places.reduce((sum, p) => sum + p.y, 0) / places.length };
  };
  const spread = () => {
    const [one, other] = pointers.values();
    return Math.hypot(one.x - other.x, one.y - other.y);
  };
  const fromCenter = (x, y) => {
    const box = stage.getBoundingClientRect();
    return { x: x - box.left - box.width / 2, y: y - box.top - box.height / 2 };
  };
  // A whole series in one stroke down the stage, but no slice in less than three pixels.
  const pixelsPerSlice = () => Math.max(3, Math.min(24, (stage.clientHeight * 0.8) / Math.max(1, stack.slices.length)));

  function down(event) {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    rest = 0;
  }

  function move(event) {
    if (!pointers.has(event.pointerId)) return;
    const before = middle();
    const wide = pointers.size > 1 ? spread() : 0;
    const last = pointers.get(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const after = middle();
    if (pointers.size > 1) {
      stack.zoomBy(wide ? spread() / wide : 1, fromCenter(after.x, after.y));
      stack.panBy(after.x - before.x, after.y - before.y);
    } else if (event.pointerType === "mouse" && stack.zoom.scale > 1) {
      stack.panBy(after.x - before.x, after.y - before.y);
    } else {
      scroll(event.clientY - last.y);
    }
  }

  function scroll(pixels) {
    rest += pixels;
    const steps = Math.trunc(rest / pixelsPerSlice());
    rest -= steps * pixelsPerSlice();
    if (steps) stack.step(steps);
  }

  function up(event) {
    pointers.delete(event.pointerId);
  }

  function wheel(event) {
    event.preventDefault();
    if (event.ctrlKey) {
      stack.zoomBy(Math.exp(-event.deltaY / 200), fromCenter(event.clientX, event.clientY));
      return;
    }
    turned += event.deltaMode ? event.deltaY * WHEEL_STEP : event.deltaY;
    const steps = Math.trunc(turned / WHEEL_STEP);
    turned -= steps * WHEEL_STEP;
    // One notch of a wheel is one slice, whatever it measures.
    if (steps) stack.step(Math.abs(event.deltaY) >= 100 && !event.deltaMode ? Math.sign(steps) : steps);
  }

  // A browser takes a stroke that ends in motion for a fling, also where nothing scrolls (touch-action), and the next tap,
  // wherever it is, for one that stops the fling: no click comes of it for a second. What is ours it must not look at.
  function ours(event) {
    if (event.cancelable) event.preventDefault();
  }

  const heard = { pointerdown: down, pointermove: move, pointerup: up, pointercancel: up, wheel, touchmove: ours };
  for (const [name, listener] of Object.entries(heard)) stage.addEventListener(name, listener, { passive: false });
  return () => {
    for (const [name, listener] of Object.entries(heard)) stage.removeEventListener(name, listener);
  };
}
