/** A book of one ticker from ITCH messages: whole if read from the session's start, else of the orders seen since. */

export const BOOK_MESSAGES = [
  "AddOrder", "AddOrderMPID", "OrderExecuted", "OrderExecutedWithPrice", "OrderCancel", "OrderDelete", "OrderReplace",
];
export const PRINT_MESSAGES = ["Trade", "CrossTrade"];

export class Book {
  constructor() {
    this.orders = new Map();
    this.sides = { B: new Map(), S: new Map() };
    /** Messages about orders whose beginning was not seen. */
    this.unknown = 0;
  }

  /** Take one message; gives the print it is, if it is one: { price, size }. */
  take(type, fields) {
    const order = this.orders.get(fields.orderReferenceNumber);
    switch (type) {
      case "AddOrder":
      case "AddOrderMPID":
        this._add(fields.orderReferenceNumber, fields.side, fields.price, fields.shares);
        return null;
      case "OrderExecuted":
        if (order === undefined) return this._miss();
        this._take(fields.orderReferenceNumber, order, fields.executedShares);
        return { price: order.price, size: fields.executedShares };
      case "OrderExecutedWithPrice":
        if (order === undefined) this._miss();
        else this._take(fields.orderReferenceNumber, order, fields.executedShares);
        return fields.printable === "N" ? null : { price: fields.executionPrice, size: fields.executedShares };
      case "OrderCancel":
        if (order === undefined) return this._miss();
        this._take(fields.orderReferenceNumber, order, fields.cancelledShares ?? fields.canceledShares);
        return null;
      case "OrderDelete":
        if (order === undefined) return this._miss();
        this._take(fields.orderReferenceNumber, order, order.shares);
        return null;
      case "OrderReplace": {
        const old = this.orders.get(fields.originalOrderReferenceNumber);
        if (old === undefined) return this._miss();
        this._take(fields.originalOrderReferenceNumber, old, old.shares);
        this._add(fields.newOrderReferenceNumber, old.side, fields.price, fields.shares);
        return null;
      }
      case "Trade":
        return { price: fields.price, size: fields.shares };
      case "CrossTrade":
        return fields.shares > 0 ? { price: fields.crossPrice, size: fields.shares } : null;
      default:
        return null;
    }
  }

  /** The best `count` levels of a side ("B" or "S"): { price, size, orders }. */
  best(side, count) {
    const sign = side === "B" ? -1 : 1;
    return [...this.sides[side].values()].sort((a, b) => sign * (a.price - b.price)).slice(0, count);
  }

  _add(reference, side, price, shares) {
    this.orders.set(reference, { side, price, shares });
    const level = this.sides[side].get(price);
    if (level === undefined) this.sides[side].set(price, { price, size: shares, orders: 1 });
    else {
      level.size += shares;
      level.orders += 1;
    }
  }

  _take(reference, order, shares) {
    const level = this.sides[order.side].get(order.price);
    order.shares -= shares;
    level.size -= shares;
    if (order.shares > 0) return;
    this.orders.delete(reference);
    level.orders -= 1;
    if (level.orders === 0) this.sides[order.side].delete(order.price);
  }

  _miss() {
    this.unknown += 1;
    return null;
  }
}
